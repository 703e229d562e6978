/**
 * The cluster's DNS, as a file: which names stand for which addresses.
 *
 * Node processes read it through the preload `podnet.mjs`, k6 through a configuration file with `hosts`. Both are written whole
 * and renamed, so that a reader never sees half of one.
 */
import { renameSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import type { Service } from "./Kinds.ts"
import { matches, type PodRecord } from "./PodRecord.ts"

export type Names = ReadonlyMap<string, ReadonlyArray<string>>

/** A pod inside the namespace also finds the shorter forms, by the search domains of its resolv.conf. */
const forms = (name: string, namespace: string) => [
  name,
  `${name}.${namespace}`,
  `${name}.${namespace}.svc`,
  `${name}.${namespace}.svc.cluster.local`
]

export const namesOf = (
  namespace: string,
  services: ReadonlyArray<Service>,
  pods: ReadonlyArray<PodRecord>,
  virtualAddress: (service: string) => string | undefined
): Names => {
  const names = new Map<string, Array<string>>()
  const add = (name: string, address: string) => {
    for (const form of forms(name, namespace)) names.set(form, [...(names.get(form) ?? []), address])
  }
  for (const service of services) {
    const name = service.metadata.name
    if (service.spec.clusterIP !== "None") {
      const address = virtualAddress(name)
      if (address !== undefined) add(name, address)
      continue
    }
    const publish = service.spec.publishNotReadyAddresses === true
    for (const pod of pods) {
      if (pod.phase !== "Running" && pod.phase !== "Pending") continue
      if (!matches(service.spec.selector, pod) || !(publish || (pod.ready && !pod.terminating))) continue
      add(name, pod.address)
      if (pod.subdomain === name) add(`${pod.name}.${name}`, pod.address)
    }
  }
  return names
}

export const hostsFile = (names: Names): string =>
  [...names].flatMap(([name, addresses]) => addresses.map((address) => `${address} ${name}\n`)).join("")

/** k6 takes one address a name. */
const k6Config = (names: Names): string =>
  JSON.stringify({ hosts: Object.fromEntries([...names].flatMap(([name, [first]]) => (first ? [[name, first]] : []))) })

export interface NamesFiles {
  readonly hosts: string
  readonly k6: string
  readonly write: (names: Names) => void
}

export const files = (folder: string): NamesFiles => {
  const hosts = join(folder, "hosts")
  const k6 = join(folder, "k6.json")
  let last: string | undefined
  const replace = (path: string, text: string) => {
    writeFileSync(`${path}.new`, text)
    renameSync(`${path}.new`, path)
  }
  return {
    hosts,
    k6,
    write: (names) => {
      const text = hostsFile(names)
      if (text === last) return
      replace(hosts, text)
      replace(k6, k6Config(names))
      last = text
    }
  }
}
