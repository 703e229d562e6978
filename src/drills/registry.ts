/** All drills. One file each; a new one is added here. */
import { CutLocks } from "./CutLocks.ts"
import type { Drill } from "./Drill.ts"
import { KillRunner } from "./KillRunner.ts"

export const drills: ReadonlyArray<Drill> = [KillRunner, CutLocks]
