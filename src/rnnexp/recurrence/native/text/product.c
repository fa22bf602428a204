/* Products of some rows with a packed matrix, a block of rows and a panel at a time.

   A panel holds up to PANEL registers' worth of columns, one row of it after the other, so that
   it is read front to back. The rows of the left factor are read number by number. */

typedef struct {
  const real *rows; /* where row 0 begins */
  long stride;      /* numbers from one row to the next */
  long step;        /* numbers from one element of a row to the next */
  long depth;       /* elements of each row that take part */
} Left;

/* The product of a block of rows, from this one on, with a panel; added to what is there or not. */
typedef void (*Micro)(const Left *, int parts, long row, const real *panel, vec *out,
                      long out_stride, int add);
#define MAX_ROWS 8

/* By registers of the panel and rows of the block, both less one. They are the same for every cell
   and take longer to compile than the rest: micro.c is a library of its own, and `use_micros` is
   told where it has them. */
static const Micro (*MICRO_OF)[MAX_ROWS];

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
