#if RECURRENT
typedef Product<OWNED, RECURRENT * UNITS, BACKWARD_PARTS> BackwardProduct;

typedef struct {
  alignas(16) real d_rh[2][ROWS][BackwardProduct::FILLED]; /* of this step and the next, by turns */
  real sums[BACKWARD_PARTS][ROWS][BackwardProduct::COLUMNS];
  Arrival arrivals[2];
} BackwardShared;

INLINE int bytes_backward(const Call &c) {
  return rows_here(c) * RECURRENT * UNITS * (int)sizeof(real);
}

INLINE void load_backward(const Call &c, BackwardProduct &product) {
  const int out = product.column(), unit = cluster_rank() * OWNED + out;
  product.load(out < OWNED && unit < UNITS ? c.weight_hh + unit : nullptr, UNITS);
}

INLINE void begin_backward(const Call &c, BackwardShared &s) {
  clear(&s.d_rh[0][0][0], sizeof s.d_rh / sizeof(real));
  clear(&s.sums[0][0][0], sizeof s.sums / sizeof(real));
  prepare(s.arrivals, bytes_backward(c));
  meet();
}
#else
typedef struct {
} BackwardShared;
#endif

INLINE void backward_block(const Call &c, BackwardShared &s) {
  const Element e = element_of(c);
  const int row_here = thread_index() / OWNED, unit_here = thread_index() % OWNED;
  Left left;
  real grad[STATES], carry[STATES], next[STATES], own[AT_LEAST_1(OWN)];
  real theta[AT_LEAST_1(THETAS)], d_theta[AT_LEAST_1(THETAS)], all_theta[AT_LEAST_1(THETAS)];
  real d_wx[GATES], d_rh[AT_LEAST_1(DIFFERING)];
  if (e.is_one) {
    for (int i = 0; i < STATES; i++) {
      const long long place = e.row * UNITS + e.unit;
      carry[i] = c.grad_last[i] ? c.grad_last[i][place] : 0;
      next[i] = c.states[i][c.steps * c.rows * UNITS + place];
    }
    for (int p = 0; p < THETAS; p++) all_theta[p] = 0;
    theta_of(c, e.unit, own, theta);
    fetch_left(c, e, c.steps - 1, &left);
  }
#if RECURRENT
  BackwardProduct product;
  load_backward(c, product);
  begin_backward(c, s);
#endif
  for (long long t = c.steps - 1; t >= 0; t--) {
    const long long done = c.steps - 1 - t, turn = done % 2;
    if (e.is_one) {
      for (int i = 0; i < STATES; i++) grad[i] = carry[i];
      grad[0] += left.grad_out;
#if RECURRENT
      grad[0] += product.sum(s.sums, row_here, unit_here);
#endif
      point_backward(grad, left.old, next, theta, left.saved, d_wx, d_rh, carry, d_theta);
#if RECURRENT
      for (int g = 0; g < RECURRENT; g++)
        hand_out(&s.d_rh[turn][row_here][g * UNITS + e.unit], d_rh_of(g, d_wx, d_rh),
                 &s.arrivals[turn]);
#endif
      store_gradients(c, e, t, grad[0], d_wx, d_rh);
      for (int i = 0; i < STATES; i++) next[i] = left.old[i];
      for (int p = 0; p < THETAS; p++) all_theta[p] += d_theta[p];
      if (t > 0) fetch_left(c, e, t - 1, &left);
    }
#if RECURRENT
    await(&s.arrivals[turn], done / 2, bytes_backward(c));
    product.multiply(s.d_rh[turn], s.sums);
    sync_block();
#endif
  }
  if (e.is_one) {
#if RECURRENT
    carry[0] += product.sum(s.sums, row_here, unit_here);
#endif
    store_first(c, e, carry, own, all_theta);
  }
#if RECURRENT
  meet(); /* what is on its way finds its block still there */
#endif
}
