/* Sums of squares, in double precision: of 1e-23 or 1e20 float holds no square. */
#define WIDE_LANES ((long)(BYTES / sizeof(double)))
#define WIDES (LANES / WIDE_LANES)
typedef double wide __attribute__((vector_size(BYTES)));

typedef struct {
  wide sum[WIDES];
} Squares;

INLINE void add_squares(Squares *s, vec grad) {
  for (int i = 0; i < WIDES; i++) {
    wide x;
    for (int k = 0; k < WIDE_LANES; k++) x[k] = grad[i * WIDE_LANES + k];
    s->sum[i] += x * x;
  }
}

/* Of which gradients: of h_t, of the other tensors of the state that move, of the output. */
enum { OF_H, BESIDE, ENTERING, SERIES };

/* Give the sum of this step, and begin the next. */
static double take_squares(Squares *s) {
  double sum = 0;
  for (int i = 0; i < WIDES; i++) {
    for (int k = 0; k < WIDE_LANES; k++) sum += s->sum[i][k];
    s->sum[i] = (wide){0};
  }
  return sum;
}

/* One register of hidden units j.. of row b at step t; adds to sums, and to squares. */
INLINE void backward_at(const Call *c, long t, long b, long j, long n, vec product, vec *sums,
                        Squares *squares) {
  const long H = c->units;
  const long place = (t * c->rows + b) * H;
  vec grad[STATES], old[STATES], new[STATES], fixed[AT_LEAST_1(THETAS)], saved[AT_LEAST_1(SAVES)];
  vec d_wx[GATES], d_rh[AT_LEAST_1(DIFFERING)], d_old[STATES], d_fixed[AT_LEAST_1(THETAS)];
  real *gates = c->gates + place * GATES + j;
  real *extra = c->extra + place * EXTRAS + j;
  for (int s = 0; s < STATES; s++) {
    const real *past = c->states[s] + t * c->stride[s] + b * H + j;
    old[s] = load(past, n);
    new[s] = load(past + c->stride[s], n);
    grad[s] = load(c->carry[s] + b * H + j, n);
  }
  grad[0] += product;
  if (c->grad_out) {
    vec entering = load(c->grad_out + place + j, n);
    grad[0] += entering;
    if (c->squares) add_squares(squares + ENTERING, entering);
  }
  if (c->squares) {
    add_squares(squares + OF_H, grad[0]);
    for (int s = 1; s < STATES; s++)
      if (MOVES[s]) add_squares(squares + BESIDE, grad[s]);
  }
  for (int k = 0; k < SAVES; k++)
    saved[k] = load(k < GATES ? gates + k * H : extra + (k - GATES) * H, n);
  for (int p = 0; p < THETAS; p++) fixed[p] = load(c->theta + p * H + j, n);
  point_backward(grad, old, new, fixed, saved, d_wx, d_rh, d_old, d_fixed);
  for (int s = 0; s < STATES; s++) store(c->carry[s] + b * H + j, n, d_old[s]);
  for (int g = 0; g < GATES; g++) store(gates + g * H, n, d_wx[g]), sums[g] += d_wx[g];
  for (int d = 0; d < DIFFERING; d++) store(extra + d * H, n, d_rh[d]), sums[GATES + d] += d_rh[d];
  for (int p = 0; p < THETAS; p++) sums[GATES + DIFFERING + p] += d_fixed[p];
}

/* The gradient of R h of one gate at step t as a left factor; most lie where W x did. */
INLINE Left left_of(const Call *c, long t, long g) {
  const long H = c->units, place = t * c->rows * H;
  if (g >= RECURRENT || DIFFERING_SLOT[g] < 0)
    return (Left){c->gates + place * GATES + g * H, GATES * H, 1, H};
  return (Left){c->extra + place * EXTRAS + DIFFERING_SLOT[g] * H, EXTRAS * H, 1, H};
}

static void backward_block(const Call *c, long t, long b, long rows, long j, long n, long width,
                           const vec *product, real *sums, Squares *squares) {
  vec sum[SUMS];
  for (int k = 0; k < SUMS; k++) sum[k] = (vec){0};
  for (long r = 0; r < rows; r++) {
    vec x = product[r * width];
    if (n == LANES)
      backward_at(c, t, b + r, j, LANES, x, sum, squares);
    else
      backward_at(c, t, b + r, j, n, x, sum, squares);
  }
  for (int k = 0; k < SUMS; k++) {
    real *to = sums + k * c->units + j;
    store(to, n, load(to, n) + sum[k]);
  }
}

/* dL/d(initial h), once dL/d(rh) of the first step is known. */
static void finish_rows(const Call *c, long b, long rows, long j, long n, long width,
                        const vec *product) {
  for (long r = 0; r < rows; r++) {
    real *to = c->carry[0] + (b + r) * c->units + j;
    store(to, n, load(to, n) + product[r * width]);
  }
}

/* Have what backward_at reads of these rows brought into the cache. */
INLINE void expect_block(const Call *c, long t, long b, long rows, long j, long numbers) {
  const long H = c->units, place = (t * c->rows + b) * H;
  for (int g = 0; g < GATES; g++)
    expect(c->gates + place * GATES + g * H + j, GATES * H, rows, numbers);
  for (int e = 0; e < EXTRAS; e++)
    expect(c->extra + place * EXTRAS + e * H + j, EXTRAS * H, rows, numbers);
  for (int s = 0; s < STATES; s++)
    expect(c->states[s] + t * c->stride[s] + b * H + j, H, rows, numbers);
  if (c->grad_out) expect(c->grad_out + place + j, H, rows, numbers);
}

static void backward_step(const Call *c, long t, long thread, long first, long last,
                          Squares *squares) {
  const long H = c->units;
  const real *group = c->packed_hh;
  vec out[MAX_ROWS * PANEL];
  Left left[AT_LEAST_1(RECURRENT)];
  for (int g = 0; g < RECURRENT; g++) left[g] = left_of(c, t + 1, g);
  memset(out, 0, sizeof out);
  for (long j0 = 0; j0 < H; j0 += PANEL * LANES) {
    long width = fewer(PANEL, registers(H - j0));
    for (long b = first, rows; b < last; b += rows) {
      rows = block_of(last - b, width);
      if (t >= 0) expect_block(c, t, b, rows, j0, fewer(width * LANES, H - j0));
      if (RECURRENT && t + 1 < c->steps)
        product(left, RECURRENT, RECURRENT * H, b, rows, group, width, out);
      for (long v = 0; v < width; v++) {
        long j = j0 + v * LANES, n = fewer(LANES, H - j);
        if (t < 0)
          finish_rows(c, b, rows, j, n, width, out + v);
        else
          backward_block(c, t, b, rows, j, n, width, out + v, c->sums + thread * SUMS * H,
                         squares);
      }
    }
    group += RECURRENT * H * width * LANES;
  }
  if (c->squares && t >= 0)
    for (long k = 0; k < SERIES; k++)
      c->squares[(thread * SERIES + k) * c->steps + t] = take_squares(squares + k);
}

/* dL/dx_t = W^T dL/d(wx_t) */
static void input_gradient(const Call *c, long t, long first, long last) {
  const long depth = GATES * c->units;
  const real *group = c->packed_ih;
  vec out[MAX_ROWS * PANEL];
  Left left = {c->gates + t * c->rows * depth, depth, 1, depth};
  for (long i0 = 0; i0 < c->inputs; i0 += PANEL * LANES) {
    long width = fewer(PANEL, registers(c->inputs - i0));
    for (long b = first, rows; b < last; b += rows) {
      rows = block_of(last - b, width);
      product(&left, 1, depth, b, rows, group, width, out);
      for (long r = 0; r < rows; r++) {
        for (long v = 0; v < width; v++) {
          long i = i0 + v * LANES;
          store(c->d_x + (t * c->rows + b + r) * c->inputs + i, fewer(LANES, c->inputs - i),
                out[r * width + v]);
        }
      }
    }
    group += depth * width * LANES;
  }
}

static void backward_rows(const Call *c, long thread, long first, long last) {
  for (int s = 0; s < STATES; s++) copy_rows(c, c->grad_last[s], c->carry[s], first, last);
  Squares squares[SERIES] = {0};
  memset(c->sums + thread * SUMS * c->units, 0, SUMS * c->units * sizeof(real));
  for (long t = c->steps - 1; t >= -1; t--) {
    backward_step(c, t, thread, first, last, squares);
    if (c->d_x && t >= 0) input_gradient(c, t, first, last);
  }
}
