/* A libnvidia-ml.so.1 for machines without one: the calls that Nearfar makes, answering as the case in NVML_CASE does.
   Signatures and codes are those of NVIDIA's public NVML API. OLD leaves out what older drivers lack. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { OK = 0, NOT_SUPPORTED = 3, NO_PERMISSION = 4, INSUFFICIENT_SIZE = 7, DRIVER_NOT_LOADED = 9,
       GPU_IS_LOST = 15, VERSION_MISMATCH = 18, UNKNOWN = 999 };
#define MIB (1024ull * 1024ull)

static int is(const char *name) {
  const char *now = getenv("NVML_CASE");
  return now != NULL && strcmp(now, name) == 0;
}

typedef struct { unsigned long long total, free, used; } Memory1;
typedef struct { unsigned int version; unsigned long long total, reserved, free, used; } Memory2;
typedef struct { unsigned int pid; unsigned long long used; unsigned int gpu, compute; } Process;

int nvmlInitWithFlags(unsigned int flags) {
  (void)flags;
  if (is("hangs")) for (;;) pause();
  if (is("version_mismatch")) return VERSION_MISMATCH;
  if (is("driver_not_loaded")) return DRIVER_NOT_LOADED;
  if (is("no_permission")) return NO_PERMISSION;
  return OK;
}
int nvmlShutdown(void) { return OK; }
const char *nvmlErrorString(int code) { (void)code; return "stand-in error"; }
int nvmlSystemGetDriverVersion(char *out, unsigned int n) { strncpy(out, "580.95.05", n); return OK; }
int nvmlDeviceGetCount_v2(unsigned int *count) { *count = is("one_lost") ? 2 : is("none") ? 0 : 1; return OK; }
int nvmlDeviceGetHandleByIndex_v2(unsigned int index, void **handle) {
  if (is("one_lost") && index == 0) return GPU_IS_LOST;
  *handle = (void *)(size_t)(index + 1);
  return OK;
}
int nvmlDeviceGetName(void *h, char *out, unsigned int n) {
  (void)h;
  if (is("odd_name")) { strncpy(out, "GPU \xff\xfe", n); return OK; }
  strncpy(out, is("unified") ? "NVIDIA GB10" : "NVIDIA GeForce RTX 3060", n);
  return OK;
}
int nvmlDeviceGetUUID(void *h, char *out, unsigned int n) { (void)h; strncpy(out, "GPU-1234", n); return OK; }

int nvmlDeviceGetMemoryInfo(void *h, Memory1 *m) {
  (void)h;
  if (is("unified")) return NOT_SUPPORTED;
  m->total = 12288 * MIB; m->free = 11000 * MIB; m->used = 1288 * MIB;
  return OK;
}
#ifndef OLD
int nvmlDeviceGetMemoryInfo_v2(void *h, Memory2 *m) {
  (void)h;
  if (is("unified")) return NOT_SUPPORTED;
  if (is("wsl")) return UNKNOWN;
  if (m->version != 0x02000028) return 25;
  m->total = 12288 * MIB; m->reserved = 288 * MIB; m->free = 11000 * MIB; m->used = 1000 * MIB;
  return OK;
}
int nvmlDeviceGetMemoryBusWidth(void *h, unsigned int *bits) {
  (void)h; *bits = 192; return is("wsl") ? NOT_SUPPORTED : OK;
}
static int fill(unsigned int *count, Process *out, const Process *all, unsigned int n) {
  if (*count < n || out == NULL) { *count = n; return INSUFFICIENT_SIZE; }
  memcpy(out, all, n * sizeof *all);
  *count = n;
  return OK;
}
int nvmlDeviceGetComputeRunningProcesses_v3(void *h, unsigned int *count, Process *out) {
  const Process all[] = {{41, 300 * MIB, 0, 0}, {42, 600 * MIB, 0, 0}};
  (void)h;
  return is("users_hidden") ? NO_PERMISSION : fill(count, out, all, 2);
}
int nvmlDeviceGetGraphicsRunningProcesses_v3(void *h, unsigned int *count, Process *out) {
  const Process all[] = {{43, ~0ull, 0, 0}, {42, 600 * MIB, 0, 0}};
  (void)h;
  return is("users_hidden") ? NO_PERMISSION : fill(count, out, all, 2);
}
int nvmlSystemGetProcessName(unsigned int pid, char *out, unsigned int n) {
  if (pid == 43) return NO_PERMISSION;
  strncpy(out, pid == 42 ? "/usr/bin/ollama" : "C:\\Games\\game.exe", n);
  return OK;
}
#endif
int nvmlDeviceGetMaxClockInfo(void *h, unsigned int type, unsigned int *mhz) {
  (void)h; *mhz = 7501; return type == 2 ? OK : NOT_SUPPORTED;
}
