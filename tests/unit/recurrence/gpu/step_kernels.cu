/* All elements, one after the other. */
#define STEP(name)                                                   \
  extern "C" void run_##name(const Call *call, long long t) {        \
    for (long long i = 0; i < call->rows * UNITS; i++)               \
      name##_step(*call, t, element_at(*call, i));                   \
  }
STEP(forward)
STEP(backward)
