/* The product of a few rows with one packed panel of a matrix, in registers throughout.

   A panel holds up to PANEL registers' worth of columns, one row of it after the other, so that
   it is read front to back. The rows of the left factor are read number by number. */

typedef struct {
  const real *rows; /* where row 0 begins */
  long stride;      /* numbers from one row to the next */
  long step;        /* numbers from one element of a row to the next */
  long depth;       /* elements of each row that take part */
} Left;

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
#define MAX_ROWS 8

MICROS(1) MICROS(2)
#if PANEL > 2
MICROS(3) MICROS(4)
#endif

typedef void (*Micro)(const Left *, int, long, const real *, vec *, long, int);
static const Micro MICRO_OF[PANEL][MAX_ROWS] = {
    NAMES(1), NAMES(2),
#if PANEL > 2
    NAMES(3), NAMES(4),
#endif
};

INLINE long fewer(long a, long b) { return a < b ? a : b; }

/* Have some numbers of each of these rows brought into the cache while a product is computed. */
INLINE void expect(const real *at, long stride, long rows, long numbers) {
  for (long r = 0; r < rows; r++)
    for (long k = 0; k < numbers; k += CACHE_LINE / (long)sizeof(real))
      __builtin_prefetch(at + r * stride + k);
}

/* How many registers a row of this many numbers takes. */
INLINE long registers(long numbers) { return (numbers + LANES - 1) / LANES; }

/* How many of the rows that are left go through the registers next, beside a panel of this many: as
   many blocks as are needed, none of them thin. */
INLINE int block_of(int rows, int panel) {
  const int most = ACCUMULATORS / panel < MAX_ROWS ? ACCUMULATORS / panel : MAX_ROWS;
  const int blocks = (rows + most - 1) / most;
  return (rows + blocks - 1) / blocks;
}

/* out[rows][width] = left (from this row on) times a group of panels with `width` registers of
   columns, which lie one after the other, each `depth` deep. */
static void product(const Left *left, int parts, long depth, long row, long rows,
                    const real *group, long width, vec *out) {
  for (long v = 0; v < width; v += PANEL) {
    long panel = fewer(PANEL, width - v);
    MICRO_OF[panel - 1][rows - 1](left, parts, row, group + v * depth * LANES, out + v, width, 0);
  }
}

/* Pack a matrix of (depth, columns), row after row, in panels of PANEL registers. */
static void pack(const real *matrix, long depth, long stride, long columns, real *to) {
  for (long j0 = 0; j0 < columns; j0 += PANEL * LANES) {
    long panels = fewer(PANEL, registers(columns - j0));
    for (long k = 0; k < depth; k++) {
      for (long v = 0; v < panels; v++, to += LANES) {
        long j = j0 + v * LANES;
        store(to, LANES, load(matrix + k * stride + j, fewer(LANES, columns - j)));
      }
    }
  }
}
