/* Gradients of the weights: sums over all N = T B rows, taken DEEP rows at a time so that both
   factors stay in the cache. Each thread has columns of its own, hence the sums are the same for
   any number of threads. */
#define DEEP 128

/* A thread's own: panels of gates, and columns of h_{t-1} and of x_t. */
typedef struct {
  long first_panel, last_panel, first_h, last_h, first_x, last_x;
} Part;

static long common_divisor(long a, long b) { return b ? common_divisor(b, a % b) : a; }

/* As many threads as divide the panels evenly lie across; the others share the columns, as all do
   where some panels are more work than others. */
static Part part_of(const Call *c, long thread, long panels) {
  const long H = c->units, I = c->inputs;
  const long across = RECURRENT < GATES ? 1 : common_divisor(panels, c->threads);
  const long down = c->threads / across, i = thread % across, k = thread / across;
  return (Part){panels * i / across, panels * (i + 1) / across,
                H * k / down, H * (k + 1) / down, I * k / down, I * (k + 1) / down};
}

/* into[first..last][...] += (those columns of a matrix of so many rows)^T times a packed panel */
static void add_outer(const real *matrix, long stride, long rows, long first, long last,
                      const real *panel, long width, real *into, long into_stride) {
  for (long m = first, block; m < last; m += block) {
    block = block_of(last - m, width);
    const Left left = {matrix + m, 1, stride, rows};
    MICRO_OF[width - 1][block - 1](
        &left, 1, 0, panel, (vec *)(into + m * into_stride), into_stride / LANES, 1);
  }
}

/* Have the rows of one panel of one gate brought into the cache. */
static void expect_panel(const Call *c, long g, long j, long n0, long rows) {
  const Left left = left_of(c, 0, g);
  const long columns = fewer(PANEL * LANES, c->units - j);
  expect(left.rows + n0 * left.stride + j, left.stride, rows, columns);
}

/* One panel of one gate, from rows n0.. of all N: for dL/dR, then for dL/dW. */
static void add_panel(const Call *c, const Part *part, long g, long j, long n0, long rows) {
  const long H = c->units, I = c->inputs, columns = fewer(PANEL * LANES, H - j);
  const long width = registers(columns), filled = registers(H) * LANES, place = g * filled + j;
  vec packed[DEEP * PANEL];
  real *panel = (real *)packed;
  const Left left = left_of(c, 0, g);
  const real *d_rh = left.rows + n0 * left.stride + j;
  const real *d_wx = c->gates + (n0 * GATES + g) * H + j;
  const int recurrent = c->d_weight_hh && g < RECURRENT;
  if (recurrent) {
    pack(d_rh, rows, left.stride, columns, panel);
    add_outer(c->states[0] + n0 * H, H, rows, part->first_h, part->last_h, panel, width,
              c->d_weight_hh + place, RECURRENT * filled);
  }
  if (c->d_weight_ih) {
    if (d_wx != d_rh || !recurrent) pack(d_wx, rows, GATES * H, columns, panel);
    add_outer(c->x + n0 * I, I, rows, part->first_x, part->last_x, panel, width,
              c->d_weight_ih + place, GATES * filled);
  }
}

static void weight_gradients(const Call *c, long thread, long first, long last) {
  const long per_gate = (registers(c->units) + PANEL - 1) / PANEL, N = c->steps * c->rows;
  const Part part = part_of(c, thread, GATES * per_gate);
  (void)first, (void)last;
  for (long n0 = 0; n0 < N; n0 += DEEP)
    for (long i = part.first_panel; i < part.last_panel; i++) {
      const long rows = fewer(DEEP, N - n0), next = i + 1;
      if (next < part.last_panel)
        expect_panel(c, next / per_gate, next % per_gate * PANEL * LANES, n0, rows);
      add_panel(c, &part, i / per_gate, i % per_gate * PANEL * LANES, n0, rows);
    }
}
