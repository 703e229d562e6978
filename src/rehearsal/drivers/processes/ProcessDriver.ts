/**
 * The driver that needs nothing installed: pods are processes of this machine, each with a loopback address of its own.
 *
 * It honours what decides whether a release survives a rollout (replicas, partition, order, environment, probes, hooks, grace, Jobs,
 * Services, tokens) and refuses, by name, a manifest whose meaning it would have to drop.
 */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { Effect, type Scope } from "effect"
import { claimSubnet } from "../../net/Loopback.ts"
import { type Driver, DriverFailed } from "../Driver.ts"
import type { ImageNotFound } from "./ContainerCommand.ts"
import * as Janitor from "./Janitor.ts"
import type { Identity } from "./MetadataServer.ts"
import type { PodEvent } from "./PodEvent.ts"
import * as Cluster from "./ProcessCluster.ts"

export { ImageNotFound } from "./ContainerCommand.ts"
export type { Identity } from "./MetadataServer.ts"
export type { PodEvent } from "./PodEvent.ts"
export type { ProcessCluster } from "./ProcessCluster.ts"

export interface ProcessDriverOptions {
  /** State of pods, logs and caches. Below it a folder for each target. */
  readonly stateFolder: string
  /** The one namespace of each cluster. Default `agents`. */
  readonly namespace?: string
  /** The folder that is the image's `/`: with it `/app/runner.js` is `<root>/app/runner.js`. */
  readonly image: (ref: string) => Effect.Effect<{ readonly root: string }, ImageNotFound>
  /** Commands that are not in the image's folder: `/nodejs/bin/node`, `k6`. */
  readonly executables: Readonly<Record<string, string>>
  readonly identity?: Identity
  /** Asks a container that is not yet ready every 100 ms, and restarts crashed ones sooner. Default true. */
  readonly fastStart?: boolean
  readonly onEvent?: (event: PodEvent) => void
}

export interface ProcessDriver extends Driver {
  readonly name: "processes"
  readonly open: (target: string) => Effect.Effect<Cluster.ProcessCluster, DriverFailed, Scope.Scope>
}

/** Below this the system asks for root. */
const lowestPort = (): number => {
  if (process.getuid?.() === 0) return 1
  try {
    return Number(readFileSync("/proc/sys/net/ipv4/ip_unprivileged_port_start", "utf8"))
  } catch {
    return 1024
  }
}

export const make = (options: ProcessDriverOptions): Effect.Effect<ProcessDriver, DriverFailed, Scope.Scope> =>
  Effect.gen(function* () {
    if (process.platform !== "linux") {
      return yield* new DriverFailed({
        message: `The process driver runs on Linux, and this is ${process.platform}: it gives each pod an address of its own in 127.0.0.0/8 and finds left-over processes in /proc. Run it in a Linux container or VM.`
      })
    }
    const janitor = yield* Janitor.start
    return {
      name: "processes",
      open: (target) =>
        Effect.gen(function* () {
          const subnet = yield* claimSubnet.pipe(Effect.mapError(({ message }) => new DriverFailed({ message })))
          return yield* Cluster.open({
            target,
            folder: join(options.stateFolder, target),
            compileCache: join(options.stateFolder, "compile-cache"),
            subnet,
            janitor,
            options,
            lowestPort: lowestPort()
          })
        })
    }
  })
