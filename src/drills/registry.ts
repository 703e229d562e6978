/** All drills. One file each; a new one is added here. */
import type { Drill } from "./Drill.ts"
import { KillRunner } from "./KillRunner.ts"

export const drills: ReadonlyArray<Drill> = [KillRunner]
