#define STEP(name)                                                              \
  extern "C" __global__ void run_##name(const Call call, const long long t) {   \
    const Element e = element_at(call, (long long)blockIdx.x * THREADS + threadIdx.x); \
    if (e.is_one) name##_step(call, t, e);                                      \
  }
STEP(forward)
STEP(backward)
