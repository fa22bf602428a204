/* The time loops. Rows of the batch never meet: each cluster of blocks takes ROWS of them through
   all of time. A block owns OWNED hidden units, and keeps what R has of them in its registers from
   the first step to the last; only h (forward) and dL/d(R h) (backward) go from block to block.

   Source: "Persistent RNNs: Stashing Recurrent Weights On-Chip", Diamos et al., ICML 2016. */
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
} Call;

/* What a thread computes: one unit of one row, or nothing. */
typedef struct {
  long long row;      /* of all B */
  int row_here, unit; /* of the ROWS of this cluster; of all H */
  int unit_here;      /* of the OWNED of this block */
  bool is_one;
} Element;

INLINE Element element_of(const Call &c) {
  Element e;
  e.row_here = thread_index() / OWNED;
  e.unit_here = thread_index() % OWNED;
  e.row = cluster_index() * ROWS + e.row_here;
  e.unit = cluster_rank() * OWNED + e.unit_here;
  e.is_one = e.row_here < ROWS && e.row < c.rows && e.unit < UNITS;
  return e;
}

/* What depends on parameters only. */
INLINE void theta_of(const Call &c, int unit, real *own, real *theta) {
  for (int o = 0; o < OWN; o++) own[o] = c.own[o][unit];
  point_given(own, theta);
}

/* Four numbers are read from shared memory in the time of one. */
struct alignas(4 * sizeof(real)) Four {
  real at[4];
};

/* y_o = sum_k w_ok v_k of ROWS vectors. A thread keeps a part of the w_o of one o in registers; the
   threads of a warp have the same part, so that they read the same numbers of v. */
template <int OUT, int DEPTH, int PARTS>
struct Product {
  static constexpr int COLUMNS = (OUT + 31) / 32 * 32;
  static constexpr int SLICE = (DEPTH + 4 * PARTS - 1) / (4 * PARTS) * 4;
  static constexpr int FILLED = SLICE * PARTS;
  real weight[SLICE];

  INLINE_MEMBER int column() const { return thread_index() % COLUMNS; }
  INLINE_MEMBER int part() const { return thread_index() / COLUMNS; }

  /* w_ok lies at from[k * stride]; null for none. */
  INLINE_MEMBER void load(const real *from, int stride) {
#pragma unroll
    for (int i = 0; i < SLICE; i++) {
      const int k = part() * SLICE + i;
      weight[i] = from && k < DEPTH ? from[(long long)k * stride] : 0;
    }
  }

  INLINE_MEMBER void multiply(const real (*vectors)[FILLED], real (*sums)[ROWS][COLUMNS]) const {
    if (part() >= PARTS) return;
    /* Sums that do not wait for each other. */
    constexpr int LANES = ROWS >= 4 ? 1 : 4 / ROWS;
    real sum[ROWS][LANES];
#pragma unroll
    for (int r = 0; r < ROWS; r++)
#pragma unroll
      for (int k = 0; k < LANES; k++) sum[r][k] = 0;
#pragma unroll
    for (int i = 0; i < SLICE; i += 4) {
#pragma unroll
      for (int r = 0; r < ROWS; r++) {
        const Four v = *(const Four *)&vectors[r][part() * SLICE + i];
#pragma unroll
        for (int k = 0; k < 4; k++) sum[r][k % LANES] += weight[i + k] * v.at[k];
      }
    }
#pragma unroll
    for (int r = 0; r < ROWS; r++) {
      real all = sum[r][0];
#pragma unroll
      for (int k = 1; k < LANES; k++) all += sum[r][k];
      sums[part()][r][column()] = all;
    }
  }

  /* y_o of one vector, once all threads have multiplied. */
  INLINE_MEMBER real sum(const real (*sums)[ROWS][COLUMNS], int row, int out) const {
    real y = 0;
#pragma unroll
    for (int p = 0; p < PARTS; p++) y += sums[p][row][out];
    return y;
  }
};

/* How many of the ROWS exist. */
INLINE int rows_here(const Call &c) {
  const long long left = c.rows - cluster_index() * ROWS;
  return left < ROWS ? (int)left : ROWS;
}

INLINE void clear(real *numbers, int count) {
  for (int i = thread_index(); i < count; i += THREADS) numbers[i] = 0;
}
