/**
 * Secrets as mounted files that change while a process runs.
 *
 * A rotation has two halves, the file and whoever checks it, and they come in either order with a minute between: the kubelet
 * renews mounted Secrets every minute or so. So a reader keeps the value before the latest one, and a refusal is not the end
 * before both were tried and the other half had time to come.
 */
import { readFileSync } from "node:fs"
import { Redacted } from "effect"
import pg from "pg"
import { endedWhenBusy } from "./BusyClients.ts"

export interface SecretFile {
  /** What the file holds now; what it held last while it can't be read. Throws only when it never could. */
  readonly current: () => Redacted.Redacted
  /** What it held before it last changed. */
  readonly previous: () => Redacted.Redacted | undefined
}

/** Keeps what `read` gave, for when it gives something else, nothing, or fails. */
export const remembering = (read: () => string): SecretFile => {
  let current: string | undefined
  let previous: string | undefined
  const look = (): string => {
    try {
      const value = read()
      if (value !== "" && value !== current) {
        previous = current
        current = value
      }
    } catch (error) {
      if (current === undefined) throw error
    }
    return current ?? ""
  }
  return {
    current: () => Redacted.make(look()),
    previous: () => {
      look()
      return previous === undefined ? undefined : Redacted.make(previous)
    }
  }
}

/** Reads anew at each question: that is what a file costs, and no watcher misses the kubelet's swap of symbolic links. */
export const file = (path: string): SecretFile => remembering(() => readFileSync(path, "utf8").trim())

/** Postgres refuses a password with 28P01, and a role that may not log in with 28000. */
const isRefusal = (error: unknown): boolean =>
  typeof error === "object" && error !== null && "code" in error && /^28/.test(String(error.code))

/** How long one connection tries. Whoever asked for it waits longer than that for a database that is away. */
const REFUSED_FOR = 5_000
const PAUSE = 250

/** Callers take this for a broken connection and come again, as long as their patience lasts. */
export class PasswordRefused extends Error {
  readonly code = "08004"
  constructor() {
    super(
      "The database refuses the password in the mounted Secret. During a rotation that passes by itself; otherwise the Secret and the role's password differ."
    )
  }
}

type Taken = (
  error: Error | undefined,
  client: pg.PoolClient | undefined,
  release: (error?: Error | boolean) => void
) => void

/**
 * A pool that outlives a rotation of its password. Connections that are open stay open; a new one is tried with the file's
 * value, then with the one before, and again. A password that was refused from the start fails at once.
 */
export class RotatingPool extends pg.Pool {
  #accepted = false

  constructor(config: Omit<pg.PoolConfig, "password">, read: () => Redacted.Redacted) {
    const secret = remembering(() => Redacted.value(read()))
    let refusals = 0
    super({
      ...config,
      password: () => {
        const before = refusals % 2 === 1 ? secret.previous() : undefined
        return Redacted.value(before ?? secret.current())
      }
    })
    this.#refused = () => (refusals += 1)
    // What a server says right after it let a client in, such as that it stops, may come in one piece with its welcome: before the
    // caller has the client, and can listen. Without a listener that would end the process. The caller's first statement fails.
    this.on("connect", (client) => client.on("error", () => {}))
  }

  readonly #refused: () => void

  async #connect(deadline: number): Promise<pg.PoolClient> {
    try {
      const client = endedWhenBusy(await super.connect())
      this.#accepted = true
      return client
    } catch (error) {
      if (!isRefusal(error) || !this.#accepted) throw error
      this.#refused()
      if (Date.now() > deadline) throw new PasswordRefused()
      await new Promise((resume) => setTimeout(resume, PAUSE))
      return this.#connect(deadline)
    }
  }

  override connect(): Promise<pg.PoolClient>
  override connect(taken: Taken): void
  override connect(taken?: Taken): Promise<pg.PoolClient> | undefined {
    const client = this.#connect(Date.now() + REFUSED_FOR)
    if (taken === undefined) return client
    void client.then(
      (connected) => taken(undefined, connected, (error) => connected.release(error)),
      (error: Error) => taken(error, undefined, () => {})
    )
    return undefined
  }
}
