#if RECURRENT
typedef Product<RECURRENT * OWNED, UNITS, FORWARD_PARTS> ForwardProduct;

typedef struct {
  alignas(16) real past[2][ROWS][ForwardProduct::FILLED]; /* h_{t-1} and h_t, by turns */
  real sums[FORWARD_PARTS][ROWS][ForwardProduct::COLUMNS];
  Arrival arrivals[2];
} ForwardShared;

INLINE int bytes_forward(const Call &c) { return rows_here(c) * UNITS * (int)sizeof(real); }

INLINE void load_forward(const Call &c, ForwardProduct &product) {
  const int out = product.column(), unit = cluster_rank() * OWNED + out % OWNED;
  const bool is_one = out < RECURRENT * OWNED && unit < UNITS;
  const long long row = (long long)(out / OWNED) * UNITS + unit;
  product.load(is_one ? c.weight_hh + row * UNITS : nullptr, 1);
}

INLINE void begin_forward(const Call &c, ForwardShared &s) {
  clear(&s.past[0][0][0], sizeof s.past / sizeof(real));
  prepare(s.arrivals, bytes_forward(c));
  sync_block();
  for (int i = thread_index(); i < ROWS * UNITS; i += THREADS) {
    const long long row = cluster_index() * ROWS + i / UNITS;
    if (row < c.rows) s.past[0][i / UNITS][i % UNITS] = c.first[0][row * UNITS + i % UNITS];
  }
  meet();
}
#else
typedef struct {
} ForwardShared;
#endif

INLINE void forward_block(const Call &c, ForwardShared &s) {
  const Element e = element_of(c);
  const int row_here = thread_index() / OWNED, unit_here = thread_index() % OWNED;
  const long long place = e.row * UNITS + e.unit;
  real wx[GATES], rh[AT_LEAST_1(RECURRENT)], bias[AT_LEAST_1(RECURRENT)], old[STATES], next[STATES];
  real own[AT_LEAST_1(OWN)], theta[AT_LEAST_1(THETAS)], saved[AT_LEAST_1(SAVES)];
  if (e.is_one) {
    for (int i = 0; i < STATES; i++) {
      old[i] = c.first[i][place];
      if (c.states[i]) c.states[i][place] = old[i];
    }
    for (int g = 0; g < RECURRENT; g++) bias[g] = bias_of(c, g, e.unit);
    theta_of(c, e.unit, own, theta);
    fetch_gates(c, e, 0, wx);
  }
#if RECURRENT
  ForwardProduct product;
  load_forward(c, product);
  begin_forward(c, s);
#endif
  for (long long t = 0; t < c.steps; t++) {
#if RECURRENT
    if (t > 0) await(&s.arrivals[t % 2], (t - 1) / 2, bytes_forward(c));
    product.multiply(s.past[t % 2], s.sums);
    sync_block();
    for (int g = 0; g < RECURRENT && e.is_one; g++)
      rh[g] = product.sum(s.sums, row_here, g * OWNED + unit_here) + bias[g];
#endif
    if (e.is_one) {
      point_forward(wx, rh, old, theta, next, saved);
#if RECURRENT
      const long long turn = (t + 1) % 2;
      if (t + 1 < c.steps)
        hand_out(&s.past[turn][row_here][e.unit], next[0], &s.arrivals[turn]);
#endif
      store_step(c, e, t, next, saved);
      for (int i = 0; i < STATES; i++) old[i] = next[i];
      if (t + 1 < c.steps) fetch_gates(c, e, t + 1, wx);
    }
  }
  for (int i = 0; i < STATES && e.is_one; i++) c.last[i][place] = old[i];
#if RECURRENT
  meet(); /* what is on its way finds its block still there */
#endif
}
