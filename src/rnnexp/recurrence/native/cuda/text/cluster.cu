/* The time loops. Rows of the batch never meet: each cluster of blocks takes ROWS of them through
   all of time. A block owns OWNED hidden units, and keeps what R has of them in its registers from
   the first step to the last; only h (forward) and dL/d(R h) (backward) go from block to block.

   Source: "Persistent RNNs: Stashing Recurrent Weights On-Chip", Diamos et al., ICML 2016. */

/* What a thread computes: a unit of this block, of a row of this cluster. */
INLINE Element element_of(const Call &c) {
  const int row_here = thread_index() / OWNED;
  Element e;
  e.row = cluster_index() * ROWS + row_here;
  e.unit = cluster_rank() * OWNED + thread_index() % OWNED;
  e.is_one = row_here < ROWS && e.row < c.rows && e.unit < UNITS;
  return e;
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
