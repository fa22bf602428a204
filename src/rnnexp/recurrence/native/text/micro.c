/* The product of a few rows with one packed panel of a matrix, in registers throughout. */

/* Keep a value in its register: compilers would rather read it again with every use. */
#if defined(__x86_64__)
#define KEEP(v) __asm__("" : "+v"(v))
#elif defined(__aarch64__)
#define KEEP(v) __asm__("" : "+w"(v))
#else
#define KEEP(v) (void)0
#endif

#define MICRO(NB, MR)                                                                          \
  static __attribute__((noinline)) void micro_##NB##_##MR(const Left *left, int parts, long row, \
                                                          const real *panel, vec *out,           \
                                                          long out_stride, int add) {            \
    vec sum[MR][NB];                                                                             \
    _Pragma("GCC unroll 16") for (int r = 0; r < MR; r++)                                        \
      _Pragma("GCC unroll 4") for (int v = 0; v < NB; v++) sum[r][v] = (vec){0};                 \
    for (int p = 0; p < parts; p++) {                                                            \
      const long stride = left[p].stride, step = left[p].step, depth = left[p].depth;            \
      const real *a = left[p].rows + row * stride;                                               \
      for (long k = 0; k < depth; k++, panel += NB * LANES, a += step) {                         \
        vec b[NB];                                                                               \
        _Pragma("GCC unroll 4") for (int v = 0; v < NB; v++) {                                   \
          b[v] = load(panel + v * LANES, LANES);                                                 \
          KEEP(b[v]);                                                                            \
        }                                                                                        \
        _Pragma("GCC unroll 16") for (int r = 0; r < MR; r++) {                                  \
          vec x = splat(a[r * stride]);                                                          \
          _Pragma("GCC unroll 4") for (int v = 0; v < NB; v++) sum[r][v] += x * b[v];            \
        }                                                                                        \
      }                                                                                          \
    }                                                                                            \
    _Pragma("GCC unroll 16") for (int r = 0; r < MR; r++)                                        \
      _Pragma("GCC unroll 4") for (int v = 0; v < NB; v++) out[r * out_stride + v] =             \
            add ? out[r * out_stride + v] + sum[r][v] : sum[r][v];                               \
  }

#define MICROS(NB)                                                       \
  MICRO(NB, 1) MICRO(NB, 2) MICRO(NB, 3) MICRO(NB, 4) MICRO(NB, 5) MICRO(NB, 6) \
  MICRO(NB, 7) MICRO(NB, 8)
#define NAMES(NB)                                                                \
  { micro_##NB##_1, micro_##NB##_2, micro_##NB##_3, micro_##NB##_4, micro_##NB##_5, \
    micro_##NB##_6, micro_##NB##_7, micro_##NB##_8 }

MICROS(1) MICROS(2)
#if PANEL > 2
MICROS(3) MICROS(4)
#endif

static const Micro TABLE[PANEL][MAX_ROWS] = {
    NAMES(1), NAMES(2),
#if PANEL > 2
    NAMES(3), NAMES(4),
#endif
};

const void *micros(void) { return TABLE; }
