/* What both ways to run on a GPU read and write: one call for all steps. */
typedef struct {
  long long steps, rows;
  const real *wx;        /* W x + b, (T, B, G, H) */
  const real *weight_hh; /* R of the first gates, (RECURRENT, H, H) */
  const real *bias_hh;   /* (RECURRENT, H) or null */
  const real *own[AT_LEAST_1(OWN)]; /* rows of parameters, (H,) each */
  const real *first[STATES];        /* the initial state, (B, H) */
  real *saved;           /* (T, B, SAVES, H), or null where no backward pass follows */
  real *states[STATES];  /* (T+1, B, H); of others than h null where no backward pass follows */
  real *last[STATES];    /* room for the last, (B, H) */
  const real *grad_out;          /* dL/d(outputs), (T, B, H), or null */
  const real *grad_last[STATES]; /* dL/d(last state), (B, H), or null */
  real *d_wx;            /* (T, B, G, H) */
  real *d_rh;            /* dL/d(R h), (T, B, RECURRENT, H), or null where it is in d_wx */
  real *d_h;             /* dL/dh_t, (T, B, H), or null where nobody asks for it */
  real *d_first[STATES]; /* dL/d(initial state), (B, H) */
  real *d_own;           /* of each row of the batch, (B, OWN, H) */
  /* Step by step only: */
  real *product;         /* R h_{t-1}, (B, RECURRENT, H); on the way back R^T dL/d(R h_t+1), (B, H) */
  real *d_theta;         /* of each row of the batch, (B, THETAS, H) */
} Call;

/* One unit of one row; whether there is such a one. */
typedef struct {
  long long row;
  int unit;
  bool is_one;
} Element;

/* What depends on parameters only. */
INLINE void theta_of(const Call &c, int unit, real *own, real *theta) {
  for (int o = 0; o < OWN; o++) own[o] = c.own[o][unit];
  point_given(own, theta);
}

INLINE real bias_of(const Call &c, int gate, int unit) {
  return c.bias_hh ? c.bias_hh[gate * UNITS + unit] : 0;
}

INLINE void fetch_gates(const Call &c, const Element &e, long long t, real *wx) {
  for (int g = 0; g < GATES; g++)
    wx[g] = c.wx[((t * c.rows + e.row) * GATES + g) * UNITS + e.unit];
}

INLINE void store_step(const Call &c, const Element &e, long long t, const real *next,
                       const real *saved) {
  const long long place = t * c.rows + e.row;
  for (int s = 0; s < STATES; s++)
    if (c.states[s]) c.states[s][(place + c.rows) * UNITS + e.unit] = next[s];
  for (int k = 0; k < SAVES && c.saved; k++)
    c.saved[(place * SAVES + k) * UNITS + e.unit] = saved[k];
}

/* What a step leaves for the way back. */
typedef struct {
  real saved[AT_LEAST_1(SAVES)], old[STATES], grad_out;
} Left;

INLINE void fetch_left(const Call &c, const Element &e, long long t, Left *left) {
  const long long place = t * c.rows + e.row;
  for (int k = 0; k < SAVES; k++) left->saved[k] = c.saved[(place * SAVES + k) * UNITS + e.unit];
  for (int i = 0; i < STATES; i++) left->old[i] = c.states[i][place * UNITS + e.unit];
  left->grad_out = c.grad_out ? c.grad_out[place * UNITS + e.unit] : 0;
}

/* dL/d(R h) of one gate; most are dL/d(W x) too. */
INLINE real d_rh_of(int gate, const real *d_wx, const real *d_rh) {
  return DIFFERING_SLOT[gate] < 0 ? d_wx[gate] : d_rh[DIFFERING_SLOT[gate]];
}

INLINE void store_gradients(const Call &c, const Element &e, long long t, real d_h,
                            const real *d_wx, const real *d_rh) {
  const long long place = t * c.rows + e.row;
  for (int g = 0; g < GATES; g++) c.d_wx[(place * GATES + g) * UNITS + e.unit] = d_wx[g];
  for (int g = 0; g < RECURRENT && c.d_rh; g++)
    c.d_rh[(place * RECURRENT + g) * UNITS + e.unit] = d_rh_of(g, d_wx, d_rh);
  if (c.d_h) c.d_h[place * UNITS + e.unit] = d_h;
}

INLINE void store_first(const Call &c, const Element &e, const real *carry, const real *own,
                        const real *d_theta) {
  real d_own[AT_LEAST_1(OWN)];
  for (int i = 0; i < STATES; i++) c.d_first[i][e.row * UNITS + e.unit] = carry[i];
  point_back_to_own(own, d_theta, d_own);
  for (int o = 0; o < OWN; o++) c.d_own[(e.row * OWN + o) * UNITS + e.unit] = d_own[o];
}
