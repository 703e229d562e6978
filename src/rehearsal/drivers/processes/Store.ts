/** The objects of one cluster as applied last. Like the API server's storage, without history. */
import type { KubeObject } from "../Driver.ts"
import type { Admitted } from "./Admission.ts"
import type { Decoded, Kind } from "./Kinds.ts"

type Entry<K extends Kind> = { readonly object: Decoded[K]; readonly raw: KubeObject }

export interface Store {
  readonly put: (admitted: Admitted) => void
  readonly remove: (kind: Kind, name: string) => void
  readonly get: <K extends Kind>(kind: K, name: string) => Entry<K> | undefined
  readonly list: <K extends Kind>(kind: K) => ReadonlyArray<Entry<K>>
  /** A ConfigMap's or Secret's content by key; undefined when there is no such object. */
  readonly content: (kind: "ConfigMap" | "Secret", name: string) => ReadonlyMap<string, Buffer> | undefined
}

const base64 = (data: Readonly<Record<string, string>> | undefined) =>
  Object.entries(data ?? {}).map(([key, value]) => [key, Buffer.from(value, "base64")] as const)
const plain = (data: Readonly<Record<string, string>> | undefined) =>
  Object.entries(data ?? {}).map(([key, value]) => [key, Buffer.from(value)] as const)

export const make = (): Store => {
  const objects = new Map<Kind, Map<string, Admitted>>()
  const of = <K extends Kind>(kind: K) => (objects.get(kind) ?? new Map()) as Map<string, Entry<K>>
  const get: Store["get"] = (kind, name) => of(kind).get(name)
  return {
    put: (admitted) => {
      const kind = of(admitted.object.kind) as Map<string, Admitted>
      kind.set(admitted.object.metadata.name, admitted)
      objects.set(admitted.object.kind, kind)
    },
    remove: (kind, name) => void of(kind).delete(name),
    get,
    list: (kind) => [...of(kind).values()],
    content: (kind, name) => {
      if (kind === "ConfigMap") {
        const found = get("ConfigMap", name)?.object
        return found && new Map([...plain(found.data), ...base64(found.binaryData)])
      }
      const found = get("Secret", name)?.object
      // stringData wins over data, as the API server merges them.
      return found && new Map([...base64(found.data), ...plain(found.stringData)])
    }
  }
}
