/**
 * Ends every pod process when the rehearsal is gone, however it went.
 *
 * The rehearsal holds the other end of this process's standard input. When that closes, by SIGKILL too, the groups it told of are killed,
 * then whatever else carries its mark in the environment: a process that made a group of its own, or one started in the moment of death.
 * Works for programs of any kind, frozen ones included, which an exit handler inside the pod could not do.
 */
import { readdirSync, readFileSync } from "node:fs"
import { createInterface } from "node:readline"

const mark = process.argv[2]
const groups = new Set()

const kill = (pid) => {
  try {
    process.kill(pid, "SIGKILL")
  } catch {
    // It ended by itself.
  }
}

const marked = () =>
  readdirSync("/proc").filter((entry) => {
    if (!/^\d+$/.test(entry) || Number(entry) === process.pid) return false
    try {
      return readFileSync(`/proc/${entry}/environ`, "latin1").split("\0").includes(mark)
    } catch {
      // Ended meanwhile, or somebody else's.
      return false
    }
  })

// Ctrl-C reaches the whole foreground; this one must outlive the rehearsal.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => {})

createInterface({ input: process.stdin })
  .on("line", (line) => {
    const [verb, pid] = line.split(" ")
    if (verb === "add") groups.add(Number(pid))
    else groups.delete(Number(pid))
  })
  .on("close", () => {
    for (const pid of groups) kill(-pid)
    // Twice: a process could have started another while the list was read.
    for (let round = 0; round < 2; round++) for (const pid of marked()) kill(Number(pid))
    process.exit(0)
  })
