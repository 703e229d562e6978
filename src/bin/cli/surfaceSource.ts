/** This release's surface, put together from every room that has a part in it. Heavy: loaded when it is asked for. */
import { Effect } from "effect"
import { declarations, entities } from "../../agent/registry.ts"
import { Event } from "../../domain/Event.ts"
import * as Statement from "../../domain/Statement.ts"
import { neededMigrations } from "../../runtime/ImageRoot.ts"
import { Reader, readSharding } from "../../runtime/Settings.ts"
import { extract } from "../../surface/extract.ts"
import type { Surface } from "../../surface/Surface.ts"
// Loading a module of statements lists them.
import "../../data/EngineTables.ts"
import "../../data/Memories.ts"
import "../../data/Usage.ts"
import "../../events/EventRetention.ts"
import "../../events/statements.ts"
import "../../gateway/statements.ts"
import "../../gates/Releases.ts"
import "../../runtime/journal/statements.ts"
import "../../runtime/statements.ts"
import "../../runtime/storage/statements.ts"

/** The values that hold where nobody sets others: the environment of whoever runs this must not change the file. */
const { shardsPerGroup, shardGroups } = readSharding(new Reader({}))

export const currentSurface: Effect.Effect<Surface> = Effect.suspend(() =>
  extract({
    declarations,
    entities,
    events: Event,
    statements: Statement.all(),
    sharding: { groups: shardGroups, shardsPerGroup },
    migrations: neededMigrations()
  })
)
