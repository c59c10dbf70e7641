// A stand-in GPU for llama.cpp: up to eight devices that plan memory as ggml's CUDA backend does.
//
// It must not know Nearfar. Sizes come from llama.cpp itself, which asks a backend for alignment, padding, scratch and
// what it wants to compute; those answers are CUDA's (ggml-cuda.cu of the pinned version). A device's memory is a piece
// of this machine's, taken only when written to, and its arithmetic is done by the CPU backend, so small models answer.
// A `hollow` device takes nothing and computes nothing: weights of 140 GB "load" in no time.
//
// The installed headers are the public ones. The structures below are those of ggml-backend-impl.h at
// GGML_BACKEND_API_VERSION 2; tests that load a model fail at once where they no longer hold.

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "ggml-backend.h"
#include "ggml.h"

#define API_VERSION 2
#define MAX_DEVICES 8
#define ALIGNMENT 128
#define ROW_PADDING 512
#define OFFLOAD_MIN_BATCH 32

struct ggml_backend_buffer_type_i {
    const char * (*get_name)(ggml_backend_buffer_type_t);
    ggml_backend_buffer_t (*alloc_buffer)(ggml_backend_buffer_type_t, size_t);
    size_t (*get_alignment)(ggml_backend_buffer_type_t);
    size_t (*get_max_size)(ggml_backend_buffer_type_t);
    size_t (*get_alloc_size)(ggml_backend_buffer_type_t, const struct ggml_tensor *);
    bool (*is_host)(ggml_backend_buffer_type_t);
};

struct ggml_backend_buffer_type {
    struct ggml_backend_buffer_type_i iface;
    ggml_backend_dev_t device;
    void * context;
};

struct ggml_backend_buffer_i {
    void (*free_buffer)(ggml_backend_buffer_t);
    void * (*get_base)(ggml_backend_buffer_t);
    enum ggml_status (*init_tensor)(ggml_backend_buffer_t, struct ggml_tensor *);
    void (*memset_tensor)(ggml_backend_buffer_t, struct ggml_tensor *, uint8_t, size_t, size_t);
    void (*set_tensor)(ggml_backend_buffer_t, struct ggml_tensor *, const void *, size_t, size_t);
    void (*get_tensor)(ggml_backend_buffer_t, const struct ggml_tensor *, void *, size_t, size_t);
    void (*set_tensor_2d)(ggml_backend_buffer_t, struct ggml_tensor *, const void *, size_t, size_t, size_t, size_t,
                          size_t);
    void (*get_tensor_2d)(ggml_backend_buffer_t, const struct ggml_tensor *, void *, size_t, size_t, size_t, size_t,
                          size_t);
    bool (*cpy_tensor)(ggml_backend_buffer_t, const struct ggml_tensor *, struct ggml_tensor *);
    void (*clear)(ggml_backend_buffer_t, uint8_t);
    void (*reset)(ggml_backend_buffer_t);
};

struct ggml_backend_buffer {
    struct ggml_backend_buffer_i iface;
    ggml_backend_buffer_type_t buft;
    void * context;
    size_t size;
    enum ggml_backend_buffer_usage usage;
};

ggml_backend_buffer_t ggml_backend_buffer_init(ggml_backend_buffer_type_t, struct ggml_backend_buffer_i, void *, size_t);

struct ggml_backend_i {
    const char * (*get_name)(ggml_backend_t);
    void (*free)(ggml_backend_t);
    void * data_transfer[5];
    void (*synchronize)(ggml_backend_t);
    void * plans[4];
    enum ggml_status (*graph_compute)(ggml_backend_t, struct ggml_cgraph *);
    void (*event_record)(ggml_backend_t, ggml_backend_event_t);
    void (*event_wait)(ggml_backend_t, ggml_backend_event_t);
    void * graph_optimize;
};

struct ggml_backend {
    ggml_guid_t guid;
    struct ggml_backend_i iface;
    ggml_backend_dev_t device;
    void * context;
};

struct ggml_backend_event {
    ggml_backend_dev_t device;
    void * context;
};

struct ggml_backend_device_i {
    const char * (*get_name)(ggml_backend_dev_t);
    const char * (*get_description)(ggml_backend_dev_t);
    void (*get_memory)(ggml_backend_dev_t, size_t *, size_t *);
    enum ggml_backend_dev_type (*get_type)(ggml_backend_dev_t);
    void (*get_props)(ggml_backend_dev_t, struct ggml_backend_dev_props *);
    ggml_backend_t (*init_backend)(ggml_backend_dev_t, const char *);
    ggml_backend_buffer_type_t (*get_buffer_type)(ggml_backend_dev_t);
    ggml_backend_buffer_type_t (*get_host_buffer_type)(ggml_backend_dev_t);
    ggml_backend_buffer_t (*buffer_from_host_ptr)(ggml_backend_dev_t, void *, size_t, size_t);
    bool (*supports_op)(ggml_backend_dev_t, const struct ggml_tensor *);
    bool (*supports_buft)(ggml_backend_dev_t, ggml_backend_buffer_type_t);
    bool (*offload_op)(ggml_backend_dev_t, const struct ggml_tensor *);
    ggml_backend_event_t (*event_new)(ggml_backend_dev_t);
    void (*event_free)(ggml_backend_dev_t, ggml_backend_event_t);
    void (*event_synchronize)(ggml_backend_dev_t, ggml_backend_event_t);
};

struct ggml_backend_device {
    struct ggml_backend_device_i iface;
    ggml_backend_reg_t reg;
    void * context;
};

struct ggml_backend_reg_i {
    const char * (*get_name)(ggml_backend_reg_t);
    size_t (*get_device_count)(ggml_backend_reg_t);
    ggml_backend_dev_t (*get_device)(ggml_backend_reg_t, size_t);
    void * (*get_proc_address)(ggml_backend_reg_t, const char *);
};

struct ggml_backend_reg {
    int api_version;
    struct ggml_backend_reg_i iface;
    void * context;
};

// One card: what it says of itself, and how much of it is taken.
struct card {
    struct ggml_backend_device device;
    struct ggml_backend_buffer_type memory;
    char name[32], description[128], pci_id[32];
    size_t free, total, taken;
    bool hollow, integrated;
};

static struct card cards[MAX_DEVICES];
static size_t n_cards;
static struct ggml_backend_buffer_type host_memory;
static struct ggml_backend_reg registry;

static struct card * card_of(ggml_backend_dev_t device) { return device->context; }

// Memory: address space without backing, so that a card may be larger than this machine.

static void * take(size_t size) {
    void * base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return base == MAP_FAILED ? NULL : base;
}

static bool is_hollow(ggml_backend_buffer_t buffer) {
    return buffer->buft != &host_memory && card_of(buffer->buft->device)->hollow;
}

static void free_buffer(ggml_backend_buffer_t buffer) {
    if (buffer->buft != &host_memory) {
        card_of(buffer->buft->device)->taken -= buffer->size;
    }
    munmap(buffer->context, buffer->size);
}

static void * get_base(ggml_backend_buffer_t buffer) { return buffer->context; }

static void memset_tensor(ggml_backend_buffer_t buffer, struct ggml_tensor * tensor, uint8_t value, size_t offset,
                          size_t size) {
    if (!is_hollow(buffer)) {
        memset((char *) tensor->data + offset, value, size);
    }
}

static void set_tensor(ggml_backend_buffer_t buffer, struct ggml_tensor * tensor, const void * data, size_t offset,
                       size_t size) {
    if (!is_hollow(buffer)) {
        memcpy((char *) tensor->data + offset, data, size);
    }
}

static void get_tensor(ggml_backend_buffer_t buffer, const struct ggml_tensor * tensor, void * data, size_t offset,
                       size_t size) {
    if (is_hollow(buffer)) {
        memset(data, 0, size);
    } else {
        memcpy(data, (const char *) tensor->data + offset, size);
    }
}

static void clear(ggml_backend_buffer_t buffer, uint8_t value) {
    if (!is_hollow(buffer) && value != 0) {  // fresh pages are zero
        memset(buffer->context, value, buffer->size);
    }
}

static ggml_backend_buffer_t alloc_buffer(ggml_backend_buffer_type_t type, size_t size) {
    static const struct ggml_backend_buffer_i iface = {
        .free_buffer = free_buffer,
        .get_base = get_base,
        .memset_tensor = memset_tensor,
        .set_tensor = set_tensor,
        .get_tensor = get_tensor,
        .clear = clear,
    };
    struct card * card = type == &host_memory ? NULL : card_of(type->device);
    if (card && card->taken + size > card->free) {
        fprintf(stderr, "stand-in: %s is out of memory\n", card->name);
        return NULL;
    }
    void * base = take(size);
    if (!base) {
        return NULL;
    }
    if (card) {
        card->taken += size;
    }
    return ggml_backend_buffer_init(type, iface, base, size);
}

static const char * memory_name(ggml_backend_buffer_type_t type) {
    return type == &host_memory ? "CUDA_Host" : card_of(type->device)->name;
}

static size_t alignment(ggml_backend_buffer_type_t type) { return type == &host_memory ? 64 : ALIGNMENT; }

// ggml-cuda.cu, get_alloc_size: quantised rows are padded, and attention over a quantised cache first turns all of K
// and V into 16-bit floats beside its result (fattn.cu; every kernel but the one for single tokens does).
static size_t alloc_size(ggml_backend_buffer_type_t type, const struct ggml_tensor * tensor) {
    size_t size = ggml_nbytes(tensor);
    if (type == &host_memory) {
        return size;
    }
    if (tensor->op == GGML_OP_FLASH_ATTN_EXT && tensor->src[0]->ne[1] > 2) {
        for (int i = 1; i <= 2; i++) {
            if (tensor->src[i]->type != GGML_TYPE_F16) {
                size = GGML_PAD(size, 128) + ggml_nelements(tensor->src[i]) * sizeof(uint16_t);
            }
        }
    }
    if (ggml_is_quantized(tensor->type) && tensor->ne[0] % ROW_PADDING) {
        size += ggml_row_size(tensor->type, ROW_PADDING - tensor->ne[0] % ROW_PADDING);
    }
    return size;
}

static bool is_host(ggml_backend_buffer_type_t type) { return type == &host_memory; }

// The stream of one device.

static const char * backend_name(ggml_backend_t backend) { return card_of(backend->device)->name; }

static void backend_free(ggml_backend_t backend) {
    ggml_backend_free(backend->context);
    free(backend);
}

static enum ggml_status graph_compute(ggml_backend_t backend, struct ggml_cgraph * graph) {
    return card_of(backend->device)->hollow ? GGML_STATUS_SUCCESS : ggml_backend_graph_compute(backend->context, graph);
}

static void synchronize(ggml_backend_t backend) { (void) backend; }

static void event_on(ggml_backend_t backend, ggml_backend_event_t event) { (void) backend, (void) event; }

static ggml_backend_t init_backend(ggml_backend_dev_t device, const char * parameters) {
    (void) parameters;
    static uint8_t guid[16] = "nearfar stand-in";
    struct ggml_backend * backend = calloc(1, sizeof *backend);
    backend->guid = &guid;
    backend->device = device;
    backend->context = ggml_backend_init_by_type(GGML_BACKEND_DEVICE_TYPE_CPU, NULL);
    backend->iface.get_name = backend_name;
    backend->iface.free = backend_free;
    backend->iface.synchronize = synchronize;
    backend->iface.graph_compute = graph_compute;
    backend->iface.event_record = event_on;
    backend->iface.event_wait = event_on;
    return backend;
}

// The device.

static const char * device_name(ggml_backend_dev_t device) { return card_of(device)->name; }

static const char * device_description(ggml_backend_dev_t device) { return card_of(device)->description; }

static void device_memory(ggml_backend_dev_t device, size_t * free, size_t * total) {
    *free = card_of(device)->free - card_of(device)->taken;
    *total = card_of(device)->total;
}

static enum ggml_backend_dev_type device_type(ggml_backend_dev_t device) {
    return card_of(device)->integrated ? GGML_BACKEND_DEVICE_TYPE_IGPU : GGML_BACKEND_DEVICE_TYPE_GPU;
}

static void device_props(ggml_backend_dev_t device, struct ggml_backend_dev_props * props) {
    struct card * card = card_of(device);
    props->name = card->name;
    props->description = card->description;
    props->type = device_type(device);
    props->device_id = card->pci_id[0] ? card->pci_id : NULL;
    device_memory(device, &props->memory_free, &props->memory_total);
    props->caps = (struct ggml_backend_dev_caps){
        .async = true,
        .host_buffer = true,
        .events = true,
        .mmap_support = !card->integrated,
    };
}

static ggml_backend_buffer_type_t device_memory_type(ggml_backend_dev_t device) { return &card_of(device)->memory; }

static ggml_backend_buffer_type_t device_host_type(ggml_backend_dev_t device) {
    (void) device;
    return &host_memory;
}

static bool is_ours(ggml_backend_buffer_type_t type) { return type->iface.get_name == memory_name; }

static bool supports_op(ggml_backend_dev_t device, const struct ggml_tensor * op) {
    for (int i = 0; i < GGML_MAX_SRC; i++) {
        if (op->src[i] && op->src[i]->buffer) {
            ggml_backend_buffer_type_t type = ggml_backend_buffer_get_type(op->src[i]->buffer);
            if (is_ours(type) && type != &host_memory && type->device != device) {
                return false;
            }
        }
    }
    return true;
}

static bool supports_memory(ggml_backend_dev_t device, ggml_backend_buffer_type_t type) {
    return is_ours(type) && (type == &host_memory ? card_of(device)->integrated : type->device == device);
}

// ggml-cuda.cu, offload_op: with 32 tokens or more, work on weights in the machine's memory is worth copying them over.
static bool offload_op(ggml_backend_dev_t device, const struct ggml_tensor * op) {
    (void) device;
    switch (op->op) {
        case GGML_OP_GET_ROWS:
            return false;
        case GGML_OP_MUL_MAT:
            return op->ne[1] >= OFFLOAD_MIN_BATCH;
        case GGML_OP_MUL_MAT_ID:
        case GGML_OP_ROPE:
            return op->ne[2] >= OFFLOAD_MIN_BATCH;
        default:
            return ggml_nrows(op) >= OFFLOAD_MIN_BATCH;
    }
}

static ggml_backend_event_t event_new(ggml_backend_dev_t device) {
    struct ggml_backend_event * event = calloc(1, sizeof *event);
    event->device = device;
    return event;
}

static void event_free(ggml_backend_dev_t device, ggml_backend_event_t event) {
    (void) device;
    free(event);
}

static void event_synchronize(ggml_backend_dev_t device, ggml_backend_event_t event) { (void) device, (void) event; }

// The registry.

static const char * registry_name(ggml_backend_reg_t self) {
    (void) self;
    return "CUDA";
}

static size_t registry_count(ggml_backend_reg_t self) {
    (void) self;
    return n_cards;
}

static ggml_backend_dev_t registry_device(ggml_backend_reg_t self, size_t index) {
    (void) self;
    return &cards[index].device;
}

static void * registry_address(ggml_backend_reg_t self, const char * name) {
    (void) self, (void) name;
    return NULL;
}

// What the tests call, before `stand_in_register`: one more card. An empty `pci_id` is one that is not known.
void stand_in_add(const char * description, const char * pci_id, size_t free, size_t total, bool hollow,
                  bool integrated) {
    struct card * card = &cards[n_cards];
    if (n_cards == MAX_DEVICES) {
        abort();
    }
    snprintf(card->name, sizeof card->name, "CUDA%zu", n_cards++);
    snprintf(card->description, sizeof card->description, "%s", description);
    snprintf(card->pci_id, sizeof card->pci_id, "%s", pci_id);
    card->free = free;
    card->total = total;
    card->hollow = hollow;
    card->integrated = integrated;
    card->memory = (struct ggml_backend_buffer_type){
        .iface = {memory_name, alloc_buffer, alignment, NULL, alloc_size, is_host}, .device = &card->device};
    card->device = (struct ggml_backend_device){
        .iface = {device_name, device_description, device_memory, device_type, device_props, init_backend,
                  device_memory_type, device_host_type, NULL, supports_op, supports_memory, offload_op, event_new,
                  event_free, event_synchronize},
        .reg = &registry,
        .context = card,
    };
}

void stand_in_register(void) {
    host_memory = (struct ggml_backend_buffer_type){
        .iface = {memory_name, alloc_buffer, alignment, NULL, alloc_size, is_host}, .device = &cards[0].device};
    registry = (struct ggml_backend_reg){
        .api_version = API_VERSION, .iface = {registry_name, registry_count, registry_device, registry_address}};
    ggml_backend_register(&registry);
}
