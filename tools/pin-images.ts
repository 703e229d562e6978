/**
 * Writes the digest that a base image's tag has today behind the tag: `node tools/pin-images.ts [--check] [FILE...]`.
 *
 * Looks at `ARG NAME_IMAGE=image:tag[@sha256:...]` lines of the Dockerfiles and asks the image's own registry. A digest is
 * never guessed: without a network the file stays as it is, and the command fails.
 */
import { readFileSync, writeFileSync } from "node:fs"
import { parseArgs } from "node:util"

const MANIFESTS = [
  "application/vnd.oci.image.index.v1+json",
  "application/vnd.docker.distribution.manifest.list.v2+json",
  "application/vnd.oci.image.manifest.v1+json",
  "application/vnd.docker.distribution.manifest.v2+json"
].join(", ")

export interface Reference {
  readonly registry: string
  readonly repository: string
  readonly tag: string
}

/** `node:24-slim` is `library/node` on Docker Hub; a first part with a dot or a port is a registry. */
export const parseReference = (text: string): Reference => {
  const [name, tag] = text.split("@")[0]!.split(/:(?=[^/]*$)/) as [string, string | undefined]
  if (tag === undefined) throw new Error(`${text} has no tag: there would be nothing to resolve`)
  const first = name.split("/")[0]!
  if (name.includes("/") && /[.:]/.test(first)) {
    return { registry: first, repository: name.slice(first.length + 1), tag }
  }
  return { registry: "registry-1.docker.io", repository: name.includes("/") ? name : `library/${name}`, tag }
}

export type Fetch = (url: string, init: { method: string; headers: Record<string, string> }) => Promise<Response>

/** The tag's digest, of the index over all platforms where there is one. Signs in as anybody, as `docker pull` does. */
export const resolveDigest = async (reference: Reference, fetch: Fetch): Promise<string> => {
  const url = `https://${reference.registry}/v2/${reference.repository}/manifests/${reference.tag}`
  const ask = (headers: Record<string, string>) =>
    fetch(url, { method: "HEAD", headers: { accept: MANIFESTS, ...headers } })
  let response = await ask({})
  if (response.status === 401) {
    const challenge = response.headers.get("www-authenticate") ?? ""
    const field = (name: string) => new RegExp(`${name}="([^"]*)"`).exec(challenge)?.[1]
    const realm = field("realm")
    if (realm === undefined)
      throw new Error(`${reference.registry} asks for a sign-in this tool doesn't know: ${challenge}`)
    const query = new URLSearchParams({
      ...(field("service") === undefined ? {} : { service: field("service")! }),
      scope: `repository:${reference.repository}:pull`
    })
    const answer = await fetch(`${realm}?${query}`, { method: "GET", headers: {} })
    const { token } = (await answer.json()) as { token?: string }
    response = await ask({ authorization: `Bearer ${token ?? ""}` })
  }
  const digest = response.headers.get("docker-content-digest")
  if (!response.ok || digest === null || !/^sha256:[0-9a-f]{64}$/.test(digest)) {
    throw new Error(`${url} answered ${response.status} and ${digest === null ? "no digest" : `the digest ${digest}`}`)
  }
  return digest
}

const LINE = /^(ARG \w+_IMAGE=)(\S+)$/gm

/** The Dockerfile's text with every base image pinned. */
export const pin = async (text: string, resolve: (reference: Reference) => Promise<string>): Promise<string> => {
  const digests = new Map<string, string>()
  for (const [, , image] of text.matchAll(LINE)) {
    const tagged = image!.split("@")[0]!
    digests.set(tagged, await resolve(parseReference(tagged)))
  }
  return text.replaceAll(LINE, (_, before: string, image: string) => {
    const tagged = image.split("@")[0]!
    return `${before}${tagged}@${digests.get(tagged)}`
  })
}

const main = async () => {
  const { values, positionals } = parseArgs({
    options: { check: { type: "boolean", default: false } },
    allowPositionals: true
  })
  const files = positionals.length > 0 ? positionals : ["Dockerfile", "smoke/Dockerfile"]
  // All digests first: when a registry can't be reached, no file has been touched.
  const results = await Promise.all(
    files.map(async (file) => {
      const text = readFileSync(file, "utf8")
      const pinned = await pin(text, (reference) => resolveDigest(reference, (url, init) => fetch(url, init)))
      return { file, pinned, changed: pinned !== text }
    })
  )
  for (const { file, pinned, changed } of results) {
    if (changed && !values.check) writeFileSync(file, pinned)
    console.log(
      `${file}: ${!changed ? "up to date" : values.check ? "is not pinned to today's digests" : "pinned to today's digests"}`
    )
  }
  const stale = results.filter(({ changed }) => changed).length
  process.exitCode = values.check && stale > 0 ? 10 : 0
}

if (import.meta.main) {
  await main().catch((error: unknown) => {
    const cause = error instanceof Error && error.cause instanceof Error ? ` (${error.cause.message})` : ""
    process.stderr.write(
      `No image was pinned: ${error instanceof Error ? error.message : String(error)}${cause}\n` +
        "Digests come from the registries, so this needs a network that reaches them. The files are as they were.\n"
    )
    process.exitCode = 12
  })
}
