/** The shards as processes have them that are told nothing. */
import { Reader, readSharding } from "../../src/runtime/Settings.ts"

export const sharding = readSharding(new Reader({}))
export const SHARDS = sharding.shardsPerGroup * sharding.shardGroups.length
