/* The part of the ABI of DLPack 1.0 (dlpack.h) and of TVM 0.27 (tvm/ffi/c_api.h,
 * tvm/runtime/c_backend_api.h) that compiled kernels speak. */
#pragma once

#include <stdint.h>

typedef struct {
  int32_t device_type;
  int32_t device_id;
} DLDevice;

typedef struct {
  uint8_t code;
  uint8_t bits;
  uint16_t lanes;
} DLDataType;

typedef struct {
  void *data;
  DLDevice device;
  int32_t ndim;
  DLDataType dtype;
  const int64_t *shape;
  const int64_t *strides;
  uint64_t byte_offset;
} DLTensor;

enum { kDLCPU = 1, kTVMFFINone = 0, kTVMFFIDLTensorPtr = 7 };

typedef struct {
  int32_t type_index;
  uint32_t zero;
  union {
    int64_t v_int64;
    const void *v_ptr;
  };
} TVMFFIAny;

typedef int Kernel(void *self, const TVMFFIAny *args, int32_t num_args, TVMFFIAny *result);

typedef struct {
  void *sync_handle;
  int32_t num_task;
} TVMParallelGroupEnv;

typedef int ParallelTask(int task_id, TVMParallelGroupEnv *env, void *data);

/* What a kernel calls before it returns non-zero. */
void TVMFFIErrorSetRaisedFromCStr(const char *kind, const char *message);
