/**
 * Ends its process by SIGKILL at the N-th thing that the process does to the world outside: a statement that changes Postgres, a call
 * to the host. Half of the time before it goes out, else after it, with the answer unread. No clock chooses the moment: a seed does.
 */
import { Socket } from "node:net"

export interface Kill {
  /** Counted from the order on; 0 takes an earlier order back. */
  readonly at: number
  readonly before: boolean
}

/** Not what asks by the clock: `alive`, `pods`, `metrics`. */
const DEED =
  /^POST \/(?:open|apply|awaitRollout|prune|startJob|awaitJob|stopJob) |\bcommit\b|\b(?:insert into|delete from|update)\s/i
/** The cluster's look for messages, twice a second. */
const LOOK = /\bset last_read = now\b/i
const isDeed = (text: string) => DEED.test(text) && !LOOK.test(text)

/** Takes its orders from the process that started this one. */
export const install = (): void => {
  let left = 0
  let before = false
  const write = Socket.prototype.write
  const die = () => process.kill(process.pid, "SIGKILL")
  Socket.prototype.write = function (this: Socket, ...args: ReadonlyArray<unknown>) {
    const [chunk] = args
    const text = typeof chunk === "string" ? chunk : Buffer.isBuffer(chunk) ? chunk.toString("latin1") : ""
    const now = left > 0 && isDeed(text) && --left === 0
    if (now && before) die()
    const sent = Reflect.apply(write, this, args) as boolean
    // What was written together with it goes out at the end of this turn.
    if (now) setImmediate(die)
    return sent
  }
  process.on("message", (order: Kill) => {
    left = order.at
    before = order.before
    process.send?.("heard")
  })
}
