/* A libnvidia-ml.so.1 for machines without one: the calls that Nearfar makes, answering as the machine in NVML_CASE.
   Signatures and codes are those of NVIDIA's public NVML API. OLD leaves out what older drivers lack. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { OK = 0, NOT_SUPPORTED = 3, NO_PERMISSION = 4, NOT_FOUND = 6, INSUFFICIENT_SIZE = 7, DRIVER_NOT_LOADED = 9,
       GPU_IS_LOST = 15, VERSION_MISMATCH = 18, UNKNOWN = 999 };
#define MIB (1024ull * 1024ull)
#define NOT_TOLD (~0ull)
#define SLOTS 7

typedef struct { unsigned long long total, free, used; } Memory1;
typedef struct { unsigned int version; unsigned long long total, reserved, free, used; } Memory2;
typedef struct { unsigned int pid; unsigned long long used; unsigned int gpu, compute; } Process;
typedef struct { char legacy[16]; unsigned int domain, bus, device, id, subsystem; char bus_id[32]; } Pci;

/* What a handle points to: a GPU or, where `slot` is set, a slice of the GPU before it in the machine's list. */
typedef struct {
  const char *name, *uuid, *pci;
  unsigned long long total_mib, reserved_mib, used_mib; /* total 0: the driver does not tell */
  unsigned int bits, mhz, major, minor;
  int no_energy, no_power, mig, slot;
  Process holders[2];
} Gpu;
typedef struct { const char *name; Gpu gpus[6]; } Machine;

#define RTX_3060 \
  { "NVIDIA GeForce RTX 3060", "GPU-3060", "00000000:01:00.0", 12288, 288, 1000, 192, 7501, 8, 6, \
    .holders = {{41, 300 * MIB, 0, 0}, {42, 600 * MIB, 0, 0}} }
#define RTX_3090(n) \
  { "NVIDIA GeForce RTX 3090", "GPU-3090-" n, "00000000:0" n ":00.0", 24576, 376, 200, 384, 9751, 8, 6 }
#define RTX_4090(used) \
  { "NVIDIA GeForce RTX 4090", "GPU-4090", "00000000:01:00.0", 24564, 412, used, 384, 10501, 8, 9 }
#define A100 \
  { "NVIDIA A100-SXM4-40GB", "GPU-A100", "00000000:C1:00.0", 40960, 600, 80, 5120, 1215, 8, 0, .mig = 1 }

static const Machine MACHINES[] = {
  {"rtx3060", {RTX_3060}},
  {"users_hidden", {RTX_3060}},
  {"windows", {RTX_3060}},
  {"slow", {RTX_3060}},
  {"lost_later", {RTX_3060}},
  {"odd_name", {{"GPU \xff\xfe", "GPU-odd", "00000000:01:00.0", 12288, 288, 1000, 192, 7501, 8, 6}}},
  {"rtx4090_busy", {{"NVIDIA GeForce RTX 4090", "GPU-4090", "00000000:01:00.0", 24564, 412, 9216, 384, 10501, 8, 9,
                     .holders = {{42, 8700 * MIB, 0, 0}, {41, 500 * MIB, 0, 0}}}}},
  {"two_3090", {RTX_3090("1"), RTX_3090("2")}},
  {"mixed", {RTX_4090(500),
             {"NVIDIA GeForce GTX 1060 6GB", "GPU-1060", "00000000:02:00.0", 6144, 64, 80, 192, 4004, 6, 1,
              .no_energy = 1}}},
  {"a100_mig", {A100,
                {"NVIDIA A100-SXM4-40GB MIG 3g.20gb", "MIG-3g", .total_mib = 19968, .used_mib = 37, .slot = 1},
                {"NVIDIA A100-SXM4-40GB MIG 2g.10gb", "MIG-2g", .total_mib = 9856, .used_mib = 25, .slot = 3},
                {"NVIDIA A100-SXM4-40GB", "MIG-1g", .total_mib = 4864, .used_mib = 12, .slot = 4,
                 .holders = {{42, 10 * MIB, 0, 0}}}}},
  {"mig_empty", {A100}},
  {"h100_80", {{"NVIDIA H100 80GB HBM3", "GPU-H100", "00000000:1B:00.0", 81559, 551, 4, 5120, 2619, 9, 0}}},
  {"gb10", {{"NVIDIA GB10", "GPU-GB10", "0000000F:01:00.0", .major = 12, .minor = 1,
             .holders = {{42, 5000 * MIB, 0, 0}}}}},
  {"n1x", {{"NVIDIA N1X", "GPU-N1X", "0000000F:01:00.0", 8128, 0, 199, 256, 4266, 12, 1}}},
  {"jetson", {{"Orin (nvgpu)", "GPU-Orin", .major = 8, .minor = 7, .no_energy = 1, .no_power = 1}}},
  {"untold", {{"NVIDIA Board 7", "GPU-7", "00000000:01:00.0", .major = 8, .minor = 0}}},
  {"wsl", {{"NVIDIA GeForce RTX 3060", "GPU-3060", "00000000:01:00.0", 12288, 0, 1288, .major = 8, .minor = 6,
            .no_energy = 1, .holders = {{41, NOT_TOLD, 0, 0}}}}},
  {"laptop_4060", {{"NVIDIA GeForce RTX 4060 Laptop GPU", "GPU-4060", "00000000:01:00.0", 8188, 252, 4, 128, 8001, 8, 9,
                    .no_energy = 1}}},
  {"lost", {RTX_3090("1"), RTX_3090("2")}},
  {"lost_early", {RTX_3090("1"), RTX_3090("2")}},
};
enum { N_MACHINES = sizeof MACHINES / sizeof *MACHINES };

static int inits;

static int is(const char *name) {
  const char *now = getenv("NVML_CASE");
  return now != NULL && strcmp(now, name) == 0;
}

static const Gpu *gpus(void) {
  static const Gpu none[1];
  for (int i = 0; i < N_MACHINES; i++)
    if (is(MACHINES[i].name)) return MACHINES[i].gpus;
  return none;
}

/* Where the GPU is that answers no more: `lost` on its memory, after its name was told. */
static int gone(const Gpu *gpu) {
  return (is("lost") && gpu == gpus()) || (is("lost_later") && inits > 1);
}

static int text(char *out, unsigned int n, const char *from) {
  if (from == NULL) return NOT_SUPPORTED;
  strncpy(out, from, n);
  return OK;
}

int nvmlInitWithFlags(unsigned int flags) {
  (void)flags;
  if (is("hangs")) for (;;) pause();
  if (is("slow")) usleep(700 * 1000);
  if (is("version_mismatch")) return VERSION_MISMATCH;
  if (is("driver_not_loaded")) return DRIVER_NOT_LOADED;
  if (is("no_permission")) return NO_PERMISSION;
  inits++;
  return OK;
}
int nvmlShutdown(void) { return OK; }
const char *nvmlErrorString(int code) { (void)code; return "stand-in error"; }
int nvmlSystemGetDriverVersion(char *out, unsigned int n) { return text(out, n, "580.95.05"); }
int nvmlSystemGetCudaDriverVersion(int *version) { *version = 13000; return OK; }

int nvmlDeviceGetCount_v2(unsigned int *count) {
  for (*count = 0; gpus()[*count].name != NULL && !gpus()[*count].slot; ++*count) {}
  return OK;
}
int nvmlDeviceGetHandleByIndex_v2(unsigned int index, const Gpu **handle) {
  if (is("lost_early") && index == 0) return GPU_IS_LOST;
  *handle = &gpus()[index];
  return OK;
}
int nvmlDeviceGetName(const Gpu *gpu, char *out, unsigned int n) {
  return is("lost_later") && inits > 1 ? GPU_IS_LOST : text(out, n, gpu->name);
}
int nvmlDeviceGetUUID(const Gpu *gpu, char *out, unsigned int n) { return text(out, n, gpu->uuid); }
int nvmlDeviceGetCudaComputeCapability(const Gpu *gpu, int *major, int *minor) {
  *major = (int)gpu->major; *minor = (int)gpu->minor;
  return gpu->major ? OK : NOT_SUPPORTED;
}
int nvmlDeviceGetMemoryInfo(const Gpu *gpu, Memory1 *m) {
  if (gone(gpu)) return GPU_IS_LOST;
  if (!gpu->total_mib) return NOT_SUPPORTED;
  m->total = gpu->total_mib * MIB; m->used = (gpu->used_mib + gpu->reserved_mib) * MIB;
  m->free = m->total - m->used;
  return OK;
}
int nvmlDeviceGetMaxClockInfo(const Gpu *gpu, unsigned int type, unsigned int *mhz) {
  *mhz = gpu->mhz;
  return type == 2 && gpu->mhz ? OK : NOT_SUPPORTED;
}
int nvmlDeviceGetPowerUsage(const Gpu *gpu, unsigned int *mw) {
  *mw = 30000;
  return gpu->no_power ? NOT_SUPPORTED : OK;
}
#ifndef OLD
int nvmlDeviceGetPciInfo_v3(const Gpu *gpu, Pci *pci) {
  memset(pci, 0, sizeof *pci);
  return text(pci->bus_id, sizeof pci->bus_id, gpu->pci);
}
int nvmlDeviceGetMemoryInfo_v2(const Gpu *gpu, Memory2 *m) {
  if (gone(gpu)) return GPU_IS_LOST;
  if (is("wsl")) return UNKNOWN;
  if (m->version != 0x02000028) return 25;
  if (!gpu->total_mib) return NOT_SUPPORTED;
  m->total = gpu->total_mib * MIB; m->reserved = gpu->reserved_mib * MIB; m->used = gpu->used_mib * MIB;
  m->free = m->total - m->reserved - m->used;
  return OK;
}
int nvmlDeviceGetMemoryBusWidth(const Gpu *gpu, unsigned int *bits) {
  *bits = gpu->bits;
  return gpu->bits ? OK : NOT_SUPPORTED;
}
int nvmlDeviceGetTotalEnergyConsumption(const Gpu *gpu, unsigned long long *mj) {
  *mj = 123456789;
  return gpu->no_energy ? NOT_SUPPORTED : OK;
}
int nvmlDeviceGetDriverModel_v2(const Gpu *gpu, unsigned int *now, unsigned int *next) {
  (void)gpu;
  *now = *next = 0;
  return is("windows") ? OK : NOT_SUPPORTED;
}
int nvmlDeviceGetMigMode(const Gpu *gpu, unsigned int *now, unsigned int *next) {
  *now = *next = (unsigned int)gpu->mig;
  return gpu->major >= 8 && !gpu->slot ? OK : NOT_SUPPORTED;
}
int nvmlDeviceGetMaxMigDeviceCount(const Gpu *gpu, unsigned int *count) { (void)gpu; *count = SLOTS; return OK; }
int nvmlDeviceGetMigDeviceHandleByIndex(const Gpu *gpu, unsigned int index, const Gpu **handle) {
  for (const Gpu *each = gpu + 1; each->slot; each++)
    if (each->slot == (int)index) { *handle = each; return OK; }
  return NOT_FOUND;
}
static int fill(const Gpu *gpu, int first, int n, unsigned int *count, Process *out) {
  unsigned int found = 0;
  for (int i = first; i < first + n; i++) found += gpu->holders[i].pid != 0;
  if (is("users_hidden")) return NO_PERMISSION;
  if (*count < found || (found && out == NULL)) { *count = found; return INSUFFICIENT_SIZE; }
  for (unsigned int i = 0; i < found; i++) {
    out[i] = gpu->holders[first + (int)i];
    if (is("windows")) out[i].used = NOT_TOLD;
  }
  *count = found;
  return OK;
}
int nvmlDeviceGetComputeRunningProcesses_v3(const Gpu *gpu, unsigned int *count, Process *out) {
  return fill(gpu, 0, 2, count, out);
}
int nvmlDeviceGetGraphicsRunningProcesses_v3(const Gpu *gpu, unsigned int *count, Process *out) {
  const Process drawing = {43, NOT_TOLD, 0, 0};
  if (!is("rtx3060")) return fill(gpu, 1, 1, count, out);
  if (*count < 2 || out == NULL) { *count = 2; return INSUFFICIENT_SIZE; }
  out[0] = drawing; out[1] = gpu->holders[1]; *count = 2;
  return OK;
}
int nvmlSystemGetProcessName(unsigned int pid, char *out, unsigned int n) {
  if (pid == 43) return NO_PERMISSION;
  return text(out, n, pid == 42 ? "/usr/bin/ollama" : "C:\\Games\\game.exe");
}
#endif
