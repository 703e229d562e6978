/**
 * Who has which address of the cluster's `/24`.
 *
 * A StatefulSet's pod keeps its address as long as the cluster is open: its peers know it by name, and a name that keeps its address
 * can't be looked up stale. (On a cluster the address changes; runners are known by name there too.) Other pods
 * get the address that was free for longest, so that nobody reaches a stranger under a remembered one.
 */
import type { Subnet } from "../../net/Loopback.ts"

/** `.1` holds the claim, `.2` is the cluster's own servers, `.3` to `.9` are the platform's (Postgres and others). */
export const CONTROL_PLANE = 2
const FIRST_SERVICE = 10
const FIRST_POD = 60
const LAST_POD = 254

export interface Addresses {
  readonly controlPlane: string
  readonly service: (name: string) => string | undefined
  /** `sticky` pods get the same address at every start. Undefined when all are taken. */
  readonly pod: (name: string, sticky: boolean) => string | undefined
  readonly release: (name: string) => void
}

export const make = (subnet: Subnet): Addresses => {
  const services = new Map<string, string>()
  const held = new Map<string, string>()
  const kept = new Map<string, string>()
  const free = Array.from({ length: LAST_POD - FIRST_POD + 1 }, (_, index) => subnet.address(FIRST_POD + index))
  return {
    controlPlane: subnet.address(CONTROL_PLANE),
    service: (name) => {
      const known = services.get(name)
      if (known !== undefined) return known
      const last = FIRST_SERVICE + services.size
      if (last >= FIRST_POD) return undefined
      services.set(name, subnet.address(last))
      return subnet.address(last)
    },
    pod: (name, sticky) => {
      const address = held.get(name) ?? kept.get(name) ?? free.shift()
      if (address !== undefined) (sticky ? kept : held).set(name, address)
      return address
    },
    release: (name) => {
      const address = held.get(name)
      if (address === undefined) return
      held.delete(name)
      free.push(address)
    }
  }
}
