/* Gradients of the weights: sums over all N = T B rows, taken DEEP rows at a time so that both
   factors stay in the cache. Each thread has columns of its own, hence the sums are the same for
   any number of threads. */
#define DEEP 128

/* Lay `count` columns of `rows` rows out in strips that the registers hold at once. */
static void pack_strips(const real *from, long rows, long stride, long count, real *to) {
  const long strip = block_of(count, PANEL);
  for (long m = 0; m < count; m += strip) {
    const long n = fewer(strip, count - m);
    for (long k = 0; k < rows; k++)
      for (long i = 0; i < n; i++) *to++ = from[k * stride + m + i];
  }
}

/* into[count][...] += (packed strips)^T times one packed panel */
static void add_outer(const real *strips, long rows, long count, const real *panel, long width,
                      real *into, long into_stride) {
  const long strip = block_of(count, PANEL);
  for (long m = 0; m < count; m += strip) {
    const long n = fewer(strip, count - m);
    const Left left = {strips + m * rows, 1, n, rows};
    MICRO_OF[width - 1][n - 1](&left, 1, 0, panel, (vec *)(into + m * into_stride),
                               into_stride / LANES, 1);
  }
}

/* One panel of one gate, from rows n0.. of all N: for dL/dR, then for dL/dW. */
static void add_panel(const Call *c, long g, long j, long n0, long rows, const real *past,
                      const real *inputs) {
  const long H = c->units, filled = registers(H) * LANES, columns = fewer(PANEL * LANES, H - j);
  const long width = registers(columns), place = g * filled + j;
  vec packed[DEEP * PANEL];
  real *panel = (real *)packed;
  Left left[GATES];
  left_of(c, 0, left);
  const real *d_rh = left[g].rows + n0 * left[g].stride + j;
  const real *d_wx = c->gates + (n0 * GATES + g) * H + j;
  if (c->d_weight_hh) {
    pack(d_rh, rows, left[g].stride, columns, panel);
    add_outer(past, rows, H, panel, width, c->d_weight_hh + place, GATES * filled);
  }
  if (c->d_weight_ih) {
    if (d_wx != d_rh || !c->d_weight_hh) pack(d_wx, rows, GATES * H, columns, panel);
    add_outer(inputs, rows, c->inputs, panel, width, c->d_weight_ih + place, GATES * filled);
  }
}

static void weight_gradients(const Call *c, long thread, long first, long last) {
  const long H = c->units, per_gate = (registers(H) + PANEL - 1) / PANEL, all = GATES * per_gate;
  const long N = c->steps * c->rows;
  real *past = c->strips + thread * DEEP * (H + c->inputs), *inputs = past + DEEP * H;
  (void)first, (void)last;
  for (long n0 = 0; n0 < N; n0 += DEEP) {
    const long rows = fewer(DEEP, N - n0);
    if (c->d_weight_hh) pack_strips(c->states[0] + n0 * H, rows, H, H, past);
    if (c->d_weight_ih) pack_strips(c->x + n0 * c->inputs, rows, c->inputs, c->inputs, inputs);
    for (long i = all * thread / c->threads; i < all * (thread + 1) / c->threads; i++)
      add_panel(c, i / per_gate, i % per_gate * PANEL * LANES, n0, rows, past, inputs);
  }
}

