/* The time loops. Rows of the batch never meet: each thread takes its rows through all of time.

   The columns are taken in groups of FORWARD_PANELS * LANES hidden units with all G gates of each,
   so that the product of a group is still in the first cache when the elementwise part consumes
   it. */
#define WX_ROWS 32
#define LINE (64 / BYTES) /* registers that fill a line of the cache: fewer would read it twice */
#define FORWARD_PANELS (PANEL / GATES > LINE ? PANEL / GATES : LINE)
#define AT_LEAST_1(n) ((n) > 0 ? (n) : 1)

typedef struct {
  long steps, rows, inputs, units, threads;
  long saving;           /* whether a backward pass will follow */
  const real *x;         /* (T, B, I), or null where `gates` holds W x + b from the start */
  const real *weight_ih; /* W, (G, H, I) */
  const real *bias_ih;   /* (G, H) or null */
  const real *weight_hh; /* R of the first gates, (RECURRENT, H, H) */
  const real *bias_hh;   /* (RECURRENT, H) or null */
  const real *own[AT_LEAST_1(OWN)]; /* rows of parameters, (H,) each */
  real *theta;           /* room for what depends on those only, (P, H) */
  real *packed_ih;       /* room for W in panels */
  real *packed_hh;       /* room for R in panels */
  real *gates;           /* (T, B, G, H): W x + b, then what forward saves, then dL/d(wx) */
  real *extra;           /* (T, B, E, H): more of the saved, then dL/d(rh) where it differs */
  real *states[STATES];  /* (T+1, B, H), or one slot of (B, H) where stride is 0 */
  long stride[STATES];
  const real *first[STATES];     /* the initial state, (B, H) */
  real *last[STATES];            /* room for the last, (B, H) */
  const real *grad_out;          /* dL/d(outputs), (T, B, H), or null */
  const real *grad_last[STATES]; /* dL/d(last state), (B, H), or null */
  real *carry[STATES];           /* room for dL/d(initial state), (B, H) */
  real *d_x;             /* (T, B, I), or null */
  real *d_weight_ih;     /* (I, G, H filled up to registers), zero at first, or null */
  real *d_weight_hh;     /* (H, RECURRENT, H filled up likewise), zero at first, or null */
  real *sums;            /* (threads, SUMS, H) */
  double *squares;       /* (threads, SERIES, T): room for those of gradients, or null */
  real *d_own[AT_LEAST_1(OWN)]; /* (H,) each, or null */
  real *norms;           /* (SERIES, T): their norms, where there is room for the squares */
} Call;
