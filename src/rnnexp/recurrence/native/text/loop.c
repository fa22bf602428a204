/* The time loops. Rows of the batch never meet: each thread takes its rows through all of time.

   The columns are taken in groups of PANELS * LANES hidden units with all G gates of each, so that
   the product of a group is still in the first cache when the elementwise part consumes it. */
#ifdef _OPENMP
#include <omp.h>
#else
#include <pthread.h>
#endif
#if defined(__SSE__)
#include <xmmintrin.h>
#endif

#define FORWARD_PANELS (GATES >= PANEL ? 1 : PANEL / GATES)
#define AT_LEAST_1(n) ((n) > 0 ? (n) : 1)

typedef struct {
  long steps, rows, units, threads;
  long saving; /* whether a backward pass will follow */
  real *gates;          /* (T, B, G, H): W x + b, then what forward saves, then dL/d(wx) */
  real *extra;          /* (T, B, E, H): more of the saved, then dL/d(rh) where it differs */
  real *states[STATES]; /* (T+1, B, H), or one slot of (B, H) where stride is 0 */
  long stride[STATES];
  const real *weight;   /* R, (G, H, H) */
  const real *bias;     /* (G, H) or null */
  const real *theta;    /* (P, H): what depends on parameters only */
  real *packed;         /* room for R in panels */
  const real *grad_out; /* dL/d(outputs), (T, B, H), or null */
  real *carry[STATES];  /* dL/d(last state) at first, dL/d(initial state) at last, (B, H) */
  real *sums;           /* (threads, SUMS, H), zero at first */
  double *squares;      /* (threads, T): of dL/dh_t, or null */
} Call;

INLINE long fewer(long a, long b) { return a < b ? a : b; }

/* Split rows evenly into the fewest blocks of at most `most`. */
INLINE long block_of(long rows, long most) {
  long blocks = (rows + most - 1) / most;
  return blocks ? (rows + blocks - 1) / blocks : 1;
}

static void pack_forward(const Call *c) {
  const long H = c->units;
  real *to = c->packed;
  for (long j0 = 0; j0 < H; j0 += FORWARD_PANELS * LANES) {
    long panels = fewer(FORWARD_PANELS, (H - j0 + LANES - 1) / LANES), width = panels * GATES;
    for (long v0 = 0; v0 < width; v0 += PANEL) {
      for (long k = 0; k < H; k++) {
        for (long v = v0; v < fewer(v0 + PANEL, width); v++) {
          long j = j0 + v / GATES * LANES, n = fewer(LANES, H - j);
          const real *from = c->weight + (v % GATES * H + j) * H + k;
          for (long i = 0; i < LANES; i++) *to++ = i < n ? from[i * H] : 0;
        }
      }
    }
  }
}

static void pack_backward(const Call *c) {
  const long H = c->units;
  real *to = c->packed;
  for (long j0 = 0; j0 < H; j0 += PANEL * LANES) {
    long panels = fewer(PANEL, (H - j0 + LANES - 1) / LANES);
    for (long k = 0; k < GATES * H; k++) {
      for (long v = 0; v < panels; v++, to += LANES) {
        long j = j0 + v * LANES;
        store(to, LANES, load(c->weight + k * H + j, fewer(LANES, H - j)));
      }
    }
  }
}

/* One register of hidden units j.. of row b at step t. */
INLINE void forward_at(const Call *c, long t, long b, long j, long n, const vec *product) {
  const long H = c->units;
  vec wx[GATES], rh[GATES], old[STATES], fixed[AT_LEAST_1(THETAS)], new[STATES],
      saved[AT_LEAST_1(SAVES)];
  real *gates = c->gates + (t * c->rows + b) * GATES * H + j;
  real *extra = c->extra + (t * c->rows + b) * EXTRAS * H + j;
  for (int g = 0; g < GATES; g++) wx[g] = load(gates + g * H, n);
  for (int g = 0; g < GATES; g++)
    rh[g] = c->bias ? product[g] + load(c->bias + g * H + j, n) : product[g];
  for (int s = 0; s < STATES; s++) old[s] = load(c->states[s] + t * c->stride[s] + b * H + j, n);
  for (int p = 0; p < THETAS; p++) fixed[p] = load(c->theta + p * H + j, n);
  point_forward(wx, rh, old, fixed, new, saved);
  for (int s = 0; s < STATES; s++)
    store(c->states[s] + (t + 1) * c->stride[s] + b * H + j, n, new[s]);
  for (int k = 0; k < SAVES && c->saving; k++)
    store(k < GATES ? gates + k * H : extra + (k - GATES) * H, n, saved[k]);
}

static void forward_rows(const Call *c, long thread, long first, long last) {
  const long H = c->units, B = c->rows;
  (void)thread;
  vec out[MAX_ROWS * FORWARD_PANELS * GATES];
  for (long t = 0; t < c->steps; t++) {
    const Left past = {c->states[0] + t * B * H, H, H};
    const real *group = c->packed;
    for (long j0 = 0; j0 < H; j0 += FORWARD_PANELS * LANES) {
      long panels = fewer(FORWARD_PANELS, (H - j0 + LANES - 1) / LANES), width = panels * GATES;
      long block = block_of(last - first, rows_at_once(fewer(width, PANEL)));
      for (long b = first; b < last; b += block) {
        long rows = fewer(block, last - b);
        product(&past, 1, H, b, rows, group, width, out);
        for (long r = 0; r < rows; r++) {
          for (long v = 0; v < panels; v++) {
            long j = j0 + v * LANES;
            const vec *mine = out + r * width + v * GATES;
            if (H - j >= LANES)
              forward_at(c, t, b + r, j, LANES, mine);
            else
              forward_at(c, t, b + r, j, H - j, mine);
          }
        }
      }
      group += H * width * LANES;
    }
  }
}

/* One register of hidden units j.. of row b at step t; adds to sums and to the squares of dL/dh. */
INLINE vec backward_at(const Call *c, long t, long b, long j, long n, vec product, vec *sums) {
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
  if (c->grad_out) grad[0] += load(c->grad_out + place + j, n);
  for (int k = 0; k < SAVES; k++)
    saved[k] = load(k < GATES ? gates + k * H : extra + (k - GATES) * H, n);
  for (int p = 0; p < THETAS; p++) fixed[p] = load(c->theta + p * H + j, n);
  point_backward(grad, old, new, fixed, saved, d_wx, d_rh, d_old, d_fixed);
  for (int s = 0; s < STATES; s++) store(c->carry[s] + b * H + j, n, d_old[s]);
  for (int g = 0; g < GATES; g++) store(gates + g * H, n, d_wx[g]), sums[g] += d_wx[g];
  for (int d = 0; d < DIFFERING; d++) store(extra + d * H, n, d_rh[d]), sums[GATES + d] += d_rh[d];
  for (int p = 0; p < THETAS; p++) sums[GATES + DIFFERING + p] += d_fixed[p];
  return grad[0] * grad[0];
}

/* The gradients of R h at step t, gate by gate, as left factors: most lie where W x did. */
INLINE void left_of(const Call *c, long t, Left *left) {
  const long H = c->units, place = t * c->rows * H;
  for (int g = 0; g < GATES; g++) {
    left[g].depth = H;
    if (DIFFERING_SLOT[g] < 0) {
      left[g].rows = c->gates + place * GATES + g * H;
      left[g].stride = GATES * H;
    } else {
      left[g].rows = c->extra + place * EXTRAS + DIFFERING_SLOT[g] * H;
      left[g].stride = EXTRAS * H;
    }
  }
}

static double add_lanes(vec x) {
  double sum = 0;
  for (int i = 0; i < LANES; i++) sum += x[i];
  return sum;
}

static void backward_block(const Call *c, long t, long b, long rows, long j, long n, long width,
                           const vec *product, real *sums, vec *squares) {
  vec sum[SUMS];
  for (int k = 0; k < SUMS; k++) sum[k] = (vec){0};
  for (long r = 0; r < rows; r++) {
    vec x = product[r * width];
    *squares += n == LANES ? backward_at(c, t, b + r, j, LANES, x, sum)
                           : backward_at(c, t, b + r, j, n, x, sum);
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

static void backward_step(const Call *c, long t, long thread, long first, long last) {
  const long H = c->units;
  const real *group = c->packed;
  vec out[MAX_ROWS * PANEL], squares = {0};
  Left left[GATES];
  left_of(c, t + 1, left);
  memset(out, 0, sizeof out);
  for (long j0 = 0; j0 < H; j0 += PANEL * LANES) {
    long width = fewer(PANEL, (H - j0 + LANES - 1) / LANES);
    long block = block_of(last - first, rows_at_once(width));
    for (long b = first; b < last; b += block) {
      long rows = fewer(block, last - b);
      if (t + 1 < c->steps)
        product(left, GATES, GATES * H, b, rows, group, width, out);
      for (long v = 0; v < width; v++) {
        long j = j0 + v * LANES, n = fewer(LANES, H - j);
        if (t < 0)
          finish_rows(c, b, rows, j, n, width, out + v);
        else
          backward_block(c, t, b, rows, j, n, width, out + v, c->sums + thread * SUMS * H,
                         &squares);
      }
    }
    group += GATES * H * width * LANES;
  }
  if (c->squares && t >= 0) c->squares[thread * c->steps + t] = add_lanes(squares);
}

static void backward_rows(const Call *c, long thread, long first, long last) {
  for (long t = c->steps - 1; t >= -1; t--) backward_step(c, t, thread, first, last);
}

typedef void (*Work)(const Call *, long thread, long first, long last);

/* The caller's way with denormal numbers holds in every thread. */
static void work_on(const Call *c, Work work, long thread, unsigned control) {
  long first = c->rows * thread / c->threads, last = c->rows * (thread + 1) / c->threads;
#if defined(__SSE__)
  unsigned before = _mm_getcsr();
  _mm_setcsr(control);
  work(c, thread, first, last);
  _mm_setcsr(before);
#else
  (void)control;
  work(c, thread, first, last);
#endif
}

#ifndef _OPENMP
typedef struct {
  const Call *call;
  Work work;
  long thread;
  unsigned control;
} Job;

static void *start(void *job_) {
  const Job *job = job_;
  work_on(job->call, job->work, job->thread, job->control);
  return 0;
}
#endif

static void spread(const Call *c, Work work) {
  unsigned control = 0;
#if defined(__SSE__)
  control = _mm_getcsr();
#endif
#ifdef _OPENMP
#pragma omp parallel for schedule(static, 1) num_threads((int)c->threads) if (c->threads > 1)
  for (long i = 0; i < c->threads; i++) work_on(c, work, i, control);
#else
  pthread_t threads[c->threads];
  Job jobs[c->threads];
  for (long i = 1; i < c->threads; i++) {
    jobs[i] = (Job){c, work, i, control};
    if (pthread_create(&threads[i], 0, start, &jobs[i])) start(&jobs[i]), threads[i] = 0;
  }
  work_on(c, work, 0, control);
  for (long i = 1; i < c->threads; i++)
    if (threads[i]) pthread_join(threads[i], 0);
#endif
}

void run_forward(const Call *c) {
  pack_forward(c);
  spread(c, forward_rows);
}

void run_backward(const Call *c) {
  pack_backward(c);
  spread(c, backward_rows);
}

long lanes(void) { return LANES; }
