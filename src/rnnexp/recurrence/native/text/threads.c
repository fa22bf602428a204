/* Sharing the rows among threads, and the functions that are called from outside. */
#ifdef _OPENMP
#include <omp.h>
#else
#include <pthread.h>
#endif
#if defined(__SSE__)
#include <xmmintrin.h>
#endif

typedef void (*Work)(const Call *, long thread, long first, long last);

/* The caller's way with denormal numbers holds in every thread. */
static void work_on(const Call *c, Work work, long thread, unsigned control) {
  const long first = c->rows * thread / c->threads, last = c->rows * (thread + 1) / c->threads;
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
  compute_given(c);
  if (c->x) pack_gates(c->weight_ih, GATES, c->units, c->inputs, c->packed_ih);
  pack_gates(c->weight_hh, RECURRENT, c->units, c->units, c->packed_hh);
  spread(c, forward_rows);
}

static void take_norms(const Call *c) {
  const long series = SERIES * c->steps;
  for (long i = 0; i < series; i++) {
    double sum = 0;
    for (long k = 0; k < c->threads; k++) sum += c->squares[k * series + i];
    c->norms[i] = (real)__builtin_sqrt(sum);
  }
}

void run_backward(const Call *c) {
  compute_given(c);
  if (c->d_x) pack(c->weight_ih, GATES * c->units, c->inputs, c->inputs, c->packed_ih);
  pack(c->weight_hh, RECURRENT * c->units, c->units, c->units, c->packed_hh);
  spread(c, backward_rows);
  finish_sums(c);
  if (c->squares) take_norms(c);
  if (c->d_weight_ih || c->d_weight_hh) spread(c, weight_gradients);
}

long lanes(void) { return LANES; }

void use_micros(const void *table) { MICRO_OF = table; }
