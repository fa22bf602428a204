/* One register of hidden units j.. of row b at step t. */
INLINE void forward_at(const Call *c, long t, long b, long j, long n, const vec *product) {
  const long H = c->units;
  vec wx[GATES], rh[AT_LEAST_1(RECURRENT)], old[STATES], fixed[AT_LEAST_1(THETAS)], new[STATES],
      saved[AT_LEAST_1(SAVES)];
  real *gates = c->gates + (t * c->rows + b) * GATES * H + j;
  real *extra = c->extra + (t * c->rows + b) * EXTRAS * H + j;
  for (int g = 0; g < GATES; g++) wx[g] = load(gates + g * H, n);
  for (int g = 0; g < RECURRENT; g++)
    rh[g] = c->bias_hh ? product[g] + load(c->bias_hh + g * H + j, n) : product[g];
  for (int s = 0; s < STATES; s++) old[s] = load(c->states[s] + t * c->stride[s] + b * H + j, n);
  for (int p = 0; p < THETAS; p++) fixed[p] = load(c->theta + p * H + j, n);
  point_forward(wx, rh, old, fixed, new, saved);
  for (int s = 0; s < STATES; s++)
    store(c->states[s] + (t + 1) * c->stride[s] + b * H + j, n, new[s]);
  for (int k = 0; k < SAVES && c->saving; k++)
    store(k < GATES ? gates + k * H : extra + (k - GATES) * H, n, saved[k]);
}

/* Pack (gates, H, K), read as its transpose, in panels of the gates of FORWARD_PANELS registers. */
static void pack_gates(const real *matrix, long gates, long units, long depth, real *to) {
  for (long j0 = 0; j0 < units; j0 += FORWARD_PANELS * LANES) {
    long width = fewer(FORWARD_PANELS, registers(units - j0)) * gates;
    for (long v0 = 0; v0 < width; v0 += PANEL) {
      for (long k = 0; k < depth; k++) {
        for (long v = v0; v < fewer(v0 + PANEL, width); v++) {
          long j = j0 + v / gates * LANES, n = fewer(LANES, units - j);
          const real *from = matrix + (v % gates * units + j) * depth + k;
          for (long i = 0; i < LANES; i++) *to++ = i < n ? from[i * depth] : 0;
        }
      }
    }
  }
}

/* Where the product of one block of rows with one group of columns goes. */
typedef void (*Consume)(const Call *, long t, long b, long rows, long j0, const vec *product);

/* Have the place of these rows' next states brought into the cache, so that no store waits for it. */
INLINE void expect_states(const Call *c, long t, long b, long rows, long j) {
  for (int s = 0; s < STATES; s++)
    expect(c->states[s] + t * c->stride[s] + b * c->units + j, c->units, rows,
           fewer(FORWARD_PANELS * LANES, c->units - j));
}

/* Multiply all rows of some steps with packed gates; a group of columns stays in the cache. */
INLINE void multiply_gates(const Call *c, Left left, long gates, const real *group, long from,
                           long to, long first, long last, Consume consume, int to_states) {
  vec out[MAX_ROWS * FORWARD_PANELS * GATES];
  for (long j0 = 0; j0 < c->units; j0 += FORWARD_PANELS * LANES) {
    long width = fewer(FORWARD_PANELS, registers(c->units - j0)) * gates;
    for (long t = from; t < to; t++) {
      for (long b = first, rows; b < last; b += rows) {
        rows = block_of(last - b, AT_LEAST_1(fewer(width, PANEL)));
        if (to_states) expect_states(c, t + 1, b, rows, j0);
        product(&left, 1, left.depth, t * c->rows + b, rows, group, width, out);
        consume(c, t, b, rows, j0, out);
      }
    }
    group += left.depth * width * LANES;
  }
}

INLINE void add_bias(const Call *c, long t, long b, long rows, long j0, const vec *product) {
  const long H = c->units, panels = fewer(FORWARD_PANELS, registers(H - j0));
  for (long r = 0; r < rows; r++) {
    for (long v = 0; v < panels; v++) {
      for (long g = 0; g < GATES; g++) {
        long j = g * H + j0 + v * LANES, n = fewer(LANES, H - j0 - v * LANES);
        vec wx = product[(r * panels + v) * GATES + g];
        if (c->bias_ih) wx += load(c->bias_ih + j, n);
        store(c->gates + (t * c->rows + b + r) * GATES * H + j, n, wx);
      }
    }
  }
}

INLINE void update(const Call *c, long t, long b, long rows, long j0, const vec *product) {
  const long H = c->units, panels = fewer(FORWARD_PANELS, registers(H - j0));
  for (long r = 0; r < rows; r++) {
    for (long v = 0; v < panels; v++) {
      long j = j0 + v * LANES;
      const vec *mine = product + (r * panels + v) * RECURRENT;
      if (H - j >= LANES)
        forward_at(c, t, b + r, j, LANES, mine);
      else
        forward_at(c, t, b + r, j, H - j, mine);
    }
  }
}

/* Some rows of (B, H); null stands for zeros. */
static void copy_rows(const Call *c, const real *from, real *to, long first, long last) {
  const long begin = first * c->units, bytes = (last - first) * c->units * sizeof(real);
  if (from)
    memcpy(to + begin, from + begin, bytes);
  else
    memset(to + begin, 0, bytes);
}

static void forward_rows(const Call *c, long thread, long first, long last) {
  /* W x is made for a few steps at once where the rows alone are too few to pay for reading W. */
  const long mine = last - first;
  const long ahead = mine > 0 && mine < WX_ROWS ? (WX_ROWS + mine - 1) / mine : 1;
  const Left inputs = {c->x, c->inputs, 1, c->inputs};
  const Left past = {c->states[0], c->units, 1, c->units};
  (void)thread;
  for (int s = 0; s < STATES; s++) copy_rows(c, c->first[s], c->states[s], first, last);
  for (long t = 0; t < c->steps; t++) {
    if (c->x && t % ahead == 0)
      multiply_gates(c, inputs, GATES, c->packed_ih, t, fewer(t + ahead, c->steps), first, last,
                     add_bias, 0);
    multiply_gates(c, past, RECURRENT, c->packed_hh, t, t + 1, first, last, update, 1);
  }
  for (int s = 0; s < STATES; s++)
    copy_rows(c, c->states[s] + c->steps * c->stride[s], c->last[s], first, last);
}
