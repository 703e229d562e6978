/** One rehearsal at a time in one clone: the state below `.rehearsal` belongs to the process that the lock names. */
import { mkdir, open, readFile, rm } from "node:fs/promises"
import { join } from "node:path"
import { Effect, type Scope } from "effect"
import { PreconditionMissing } from "./Errors.ts"

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM"
  }
}

/** Fails when another process holds it; a lock whose process is gone is taken over. Released when the scope closes. */
export const acquire = (folder: string): Effect.Effect<void, PreconditionMissing, Scope.Scope> => {
  const file = join(folder, "lock")
  const take = async (): Promise<number | undefined> => {
    await mkdir(folder, { recursive: true })
    try {
      const handle = await open(file, "wx")
      await handle.writeFile(String(process.pid))
      await handle.close()
      return undefined
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error
    }
    const holder = Number(await readFile(file, "utf8").catch(() => ""))
    if (holder > 0 && holder !== process.pid && isAlive(holder)) return holder
    await rm(file, { force: true })
    return take()
  }
  return Effect.acquireRelease(
    Effect.promise(take).pipe(
      Effect.filterOrFail(
        (holder) => holder === undefined,
        (holder) =>
          new PreconditionMissing({
            message:
              `Another rehearsal (process ${holder}) is using ${folder}. Wait for its end, or end it with Ctrl-C; ` +
              "a second clone of the repository can rehearse at the same time."
          })
      )
    ),
    () => Effect.promise(() => rm(file, { force: true }))
  ).pipe(Effect.asVoid)
}
