/**
 * Rates by token bucket, one bucket a key, in memory: what is asked at every request must cost nothing.
 *
 * They count per gateway process. Behind G gateways that share the requests evenly a caller has up to G times the rate: it
 * guards this process from a flood, and is no account of what a tenant used (for that: open runs and token budgets, which
 * are counted in Postgres).
 */

export interface Rate {
  readonly perSecond: number
  /** How much may come at once after a pause. */
  readonly burst: number
}

interface Bucket {
  tokens: number
  at: number
}

/** Far more callers than one gateway serves; some 100 bytes each. */
const MAX_KEYS = 20_000

export interface TokenBuckets {
  /** Takes one token, or says after how many milliseconds there is one. */
  readonly take: (key: string, rate: Rate) => number
  readonly size: () => number
}

export const make = (now: () => number, maxKeys: number = MAX_KEYS): TokenBuckets => {
  // In the order of last use: the first is the one that was not used for longest, so the fullest.
  const buckets = new Map<string, Bucket>()
  return {
    size: () => buckets.size,
    take: (key, { perSecond, burst }) => {
      const at = now()
      const found = buckets.get(key)
      const tokens = found === undefined ? burst : Math.min(burst, found.tokens + ((at - found.at) / 1000) * perSecond)
      buckets.delete(key)
      if (buckets.size >= maxKeys) {
        const oldest = buckets.keys().next()
        if (!oldest.done) buckets.delete(oldest.value)
      }
      const taken = tokens >= 1
      buckets.set(key, { tokens: taken ? tokens - 1 : tokens, at })
      return taken ? 0 : ((1 - tokens) / perSecond) * 1000
    }
  }
}
