/* One time step, all elements at once, between two matrix products of torch's: for an R that does not
   fit into the registers. */
INLINE Element element_at(const Call &c, long long i) {
  Element e;
  e.row = i / UNITS;
  e.unit = i % UNITS;
  e.is_one = e.row < c.rows;
  return e;
}

INLINE void forward_step(const Call &c, long long t, const Element &e) {
  const long long place = e.row * UNITS + e.unit, at = t * c.rows * UNITS + place;
  real wx[GATES], rh[AT_LEAST_1(RECURRENT)], old[STATES], next[STATES];
  real own[AT_LEAST_1(OWN)], theta[AT_LEAST_1(THETAS)], saved[AT_LEAST_1(SAVES)];
  fetch_gates(c, e, t, wx);
  for (int g = 0; g < RECURRENT; g++)
    rh[g] = c.product[(e.row * RECURRENT + g) * UNITS + e.unit] + bias_of(c, g, e.unit);
  for (int i = 0; i < STATES; i++) {
    old[i] = t == 0 ? c.first[i][place] : c.states[i] ? c.states[i][at] : c.last[i][place];
    if (t == 0 && c.states[i]) c.states[i][place] = old[i];
  }
  theta_of(c, e.unit, own, theta);
  point_forward(wx, rh, old, theta, next, saved);
  store_step(c, e, t, next, saved);
  for (int i = 0; i < STATES; i++)
    if (!c.states[i] || t + 1 == c.steps) c.last[i][place] = next[i];
}

INLINE void backward_step(const Call &c, long long t, const Element &e) {
  const long long place = e.row * UNITS + e.unit;
  const bool is_last = t + 1 == c.steps;
  Left left;
  real grad[STATES], next[STATES], own[AT_LEAST_1(OWN)], theta[AT_LEAST_1(THETAS)];
  real d_wx[GATES], d_rh[AT_LEAST_1(DIFFERING)], d_theta[AT_LEAST_1(THETAS)];
  fetch_left(c, e, t, &left);
  for (int i = 0; i < STATES; i++) {
    next[i] = c.states[i][(t + 1) * c.rows * UNITS + place];
    const real *carry = is_last ? c.grad_last[i] : c.d_first[i];
    grad[i] = carry ? carry[place] : 0;
  }
  grad[0] += left.grad_out;
  if (RECURRENT && !is_last) grad[0] += c.product[place];
  theta_of(c, e.unit, own, theta);
  const real d_h = grad[0];
  real carry[STATES];
  point_backward(grad, left.old, next, theta, left.saved, d_wx, d_rh, carry, d_theta);
  store_gradients(c, e, t, d_h, d_wx, d_rh);
  for (int p = 0; p < THETAS; p++) {
    real *sum = c.d_theta + (e.row * THETAS + p) * UNITS + e.unit;
    d_theta[p] += is_last ? 0 : *sum;
    *sum = d_theta[p];
  }
  if (t > 0)
    for (int i = 0; i < STATES; i++) c.d_first[i][place] = carry[i];
  else
    store_first(c, e, carry, own, d_theta);
}
