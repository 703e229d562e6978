/** How many connections a database of a tier serves, and how they are shared out. The gates count what pods may open against it. */

/** Google's own rule: a connection takes memory, so small instances get few. Over this, raise the tier. */
const CONNECTIONS_PER_GIB = 27
/** Cloud SQL's own agents, and Postgres' `superuser_reserved_connections`. */
const RESERVED = 13
/** Jobs of a rollout, people, BigQuery, and the overlap of pods that come and go. */
const OTHERS = 60

export interface ConnectionPlan {
  /** The flag `max_connections`. */
  readonly maxConnections: number
  /** What the pods of all workloads may hold together. */
  readonly forPods: number
}

/** `db-custom-2-7680`: 7.5 GiB, 200 connections, 127 for pods. */
export const connectionPlan = (tier: string): ConnectionPlan => {
  const megabytes = Number(/^db-custom-\d+-(\d+)$/.exec(tier)?.[1])
  const maxConnections = Math.floor(((megabytes / 1_024) * CONNECTIONS_PER_GIB) / 10) * 10
  return { maxConnections, forPods: maxConnections - RESERVED - OTHERS }
}
