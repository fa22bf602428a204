/* Which thread of which block this is, and how the blocks of a cluster hand each other numbers. They
   run at the same time, on multiprocessors that reach each other's shared memory.

   Source: NVIDIA, "PTX ISA": mapa, st.async, mbarrier. */
INLINE int thread_index() { return threadIdx.x; }
INLINE int cluster_rank() { return blockIdx.x % CLUSTER; }
INLINE long long cluster_index() { return blockIdx.x / CLUSTER; }
INLINE void sync_block() { __syncthreads(); }

#if CLUSTER > 1
/* Tells that a number of bytes has come, from wherever in the cluster; then it counts anew. A barrier
   of all blocks would wait for what each has written to global memory, too. */
typedef unsigned long long Arrival;

INLINE unsigned place_of(const void *mine) { return (unsigned)__cvta_generic_to_shared(mine); }

/* What lies in the shared memory of a block where this does in one's own. */
INLINE unsigned of_peer(const void *mine, int rank) {
  unsigned theirs;
  asm volatile("mapa.shared::cluster.u32 %0, %1, %2;"
               : "=r"(theirs)
               : "r"(place_of(mine)), "r"(rank));
  return theirs;
}

/* All threads of all blocks of the cluster. */
INLINE void meet() {
  asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory");
  asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory");
}

INLINE void expect(Arrival *arrival, int bytes) {
  if (thread_index() == 0)
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(place_of(arrival)),
                 "r"(bytes)
                 : "memory");
}

/* Before `meet`: of two vectors, by turns. */
INLINE void prepare(Arrival *arrivals, int bytes) {
  if (thread_index() == 0) {
    for (int i = 0; i < 2; i++)
      asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" ::"r"(place_of(arrivals + i))
                   : "memory");
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  }
  for (int i = 0; i < 2; i++) expect(arrivals + i, bytes);
}

/* A number to the same place in every block of the cluster. */
INLINE void hand_out(real *mine, real value, Arrival *arrival) {
#pragma unroll
  for (int rank = 0; rank < CLUSTER; rank++)
#ifdef REAL_IS_DOUBLE
    asm volatile("st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.f64 [%0], %1, [%2];" ::
                     "r"(of_peer(mine, rank)), "d"(value), "r"(of_peer(arrival, rank))
                 : "memory");
#else
    asm volatile("st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.f32 [%0], %1, [%2];" ::
                     "r"(of_peer(mine, rank)), "f"(value), "r"(of_peer(arrival, rank))
                 : "memory");
#endif
}

/* Wait for what was expected for the turn of that number, and expect as much again. */
INLINE void await(Arrival *arrival, long long turn, int bytes) {
  int done;
  do {
    asm volatile(
        "{ .reg .pred p; mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 p, [%1], %2;"
        " selp.b32 %0, 1, 0, p; }"
        : "=r"(done)
        : "r"(place_of(arrival)), "r"((int)(turn % 2))
        : "memory");
  } while (!done);
  expect(arrival, bytes);
}
#else
typedef int Arrival;
INLINE void meet() { __syncthreads(); }
INLINE void prepare(Arrival *arrivals, int bytes) {}
INLINE void hand_out(real *mine, real value, Arrival *arrival) { *mine = value; }
INLINE void await(Arrival *arrival, long long turn, int bytes) { __syncthreads(); }
#endif
