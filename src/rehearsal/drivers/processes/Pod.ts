/**
 * One pod from its creation to its end: image, volumes, init containers, containers, restarts, and the orderly stop.
 *
 * The order of things and their names are the kubelet's. A pod runs as one fiber; `stop` is what deleting it does.
 */
import { rmSync } from "node:fs"
import { join } from "node:path"
import { Deferred, Effect, Either, Fiber, Schedule } from "effect"
import { commandOf, type PodHost, podFolder, Waiting } from "./ContainerCommand.ts"
import { type ContainerExit, type ContainerProcess, logFile, run as runProcess } from "./ContainerProcess.ts"
import type { ContainerRecord, PodRecord } from "./PodRecord.ts"
import { DEFAULT_GRACE_SECONDS } from "./PodSpec.ts"
import * as Probing from "./Probing.ts"
import * as Volumes from "./Volumes.ts"

/** A pod that the driver itself could not run ends with this after a while. */
const DRIVER_ERROR = 125
const DEFECT_MS = 5000
/** Kept in memory for each container, to explain a failure. */
const LINES = 200
/** How often a missing image, ConfigMap or Secret is looked for again. */
const RETRY_MS = 500
/** The kubelet's back-off between restarts; the first restart is immediate. */
const BACKOFF_MS = 10_000
const FAST_BACKOFF_MS = 500
const MAX_BACKOFF_MS = 300_000
/** A container that was ready for this long has not crashed at start. The kubelet waits 10 minutes. */
const SETTLED_MS = 10_000
/** The kubelet's one-off extension when the hook took all the grace there was. */
const AFTER_HOOK_MS = 2000

export interface PodOptions {
  /** Set in every container beside the manifest's own. */
  readonly env: Readonly<Record<string, string>>
  readonly restart: boolean
  readonly token: string
  readonly onLine: (container: string, line: string) => void
}

export interface RunningPod {
  readonly record: PodRecord
  /** Runs the pod to its end, and gives the first exit code that is not 0. */
  readonly run: Effect.Effect<number>
  /** Deletes the pod: hook, SIGTERM, SIGKILL. Called again it can only shorten the grace. */
  readonly stop: (graceSeconds?: number) => Effect.Effect<void>
  readonly syncVolumes: () => void
  /** SIGKILL to everything, now. */
  readonly kill: Effect.Effect<void>
}

export const make = (record: PodRecord, host: PodHost, options: PodOptions): RunningPod => {
  const folder = podFolder(host, record)
  const processes = new Map<ContainerRecord, ContainerProcess>()
  const stopping = Effect.runSync(Deferred.make<number>())
  const volumes = Volumes.make(join(folder, "volumes"), record.template.spec.volumes ?? [], {
    pod: record,
    namespace: host.namespace,
    store: host.store,
    token: options.token
  })

  const logs = new Map<ContainerRecord, (line: string) => void>()
  const say = (container: ContainerRecord, line: string) => {
    container.lines.push(line)
    if (container.lines.length > LINES) container.lines.shift()
    let log = logs.get(container)
    if (log === undefined) {
      log = logFile(join(host.folder, "logs", `${record.name}_${container.spec.name}.log`))
      logs.set(container, log)
    }
    log(line)
    options.onLine(container.spec.name, line)
  }

  const updateReady = () => {
    const relevant = record.containers.filter(({ kind }) => kind !== "init")
    const ready = record.phase === "Running" && relevant.every((container) => container.ready)
    if (ready === record.ready) return
    record.ready = ready
    record.readySince = ready ? Date.now() : undefined
    host.event(record, ready ? "ready" : "unready")
    host.changed()
  }

  const wait = (reason: string, message: string) => {
    if (record.waiting?.message === message) return
    record.waiting = { reason, message }
    host.event(record, "waiting", `${reason}: ${message}`)
    host.changed()
  }

  /** Repeats what can't be done yet, as the kubelet does, and shows why. */
  const untilPossible = <A>(attempt: Effect.Effect<A, Waiting>): Effect.Effect<A> =>
    attempt.pipe(
      Effect.tapError(({ reason, message }) => Effect.sync(() => wait(reason, message))),
      Effect.tap(() => {
        record.waiting = undefined
      }),
      Effect.retry({ schedule: Schedule.spaced(RETRY_MS) }),
      Effect.orDie
    )

  const target = (container: ContainerRecord): Probing.Target => ({
    address: record.address,
    container: container.spec,
    exec: (words) =>
      commandOf(container.spec, record, host, options, volumes, words).pipe(
        Effect.flatMap((command) => {
          const process = runProcess(command, host.janitor, (line) => say(container, line))
          return process.exited.pipe(Effect.onInterrupt(() => Effect.sync(process.kill)))
        }),
        Effect.map(({ exitCode }) => exitCode === 0),
        Effect.orElseSucceed(() => false)
      )
  })

  const grace = () => record.template.spec.terminationGracePeriodSeconds ?? DEFAULT_GRACE_SECONDS

  /** preStop, SIGTERM, and SIGKILL when the grace is over. */
  const stopContainer = (container: ContainerRecord, process: ContainerProcess, graceMs: number) =>
    Effect.gen(function* () {
      const begun = Date.now()
      const hook = container.spec.lifecycle?.preStop
      if (graceMs > 0 && hook !== undefined) {
        yield* Probing.runHook(hook, target(container)).pipe(
          Effect.raceFirst(process.exited),
          Effect.timeoutOption(graceMs)
        )
      }
      const left = graceMs - (Date.now() - begun)
      if (graceMs > 0) {
        process.terminate()
        yield* process.exited.pipe(Effect.timeoutOption(left > 0 ? left : AFTER_HOOK_MS))
      }
      process.kill()
      yield* process.exited
    })

  const watch = (container: ContainerRecord, process: ContainerProcess) =>
    Effect.gen(function* () {
      const { startupProbe, livenessProbe, readinessProbe, name } = container.spec
      const probed = target(container)
      const judged = (what: "startup" | "liveness") => {
        if (record.terminating) return Effect.never
        const probe = what === "startup" ? startupProbe : livenessProbe
        say(container, `rehearsal: container ${name} failed its ${what} probe and is restarted`)
        return stopContainer(container, process, (probe?.terminationGracePeriodSeconds ?? grace()) * 1000)
      }
      if (!(yield* Probing.awaitStarted(startupProbe, probed, host.fastStart))) return yield* judged("startup")
      container.started = true
      yield* Effect.raceFirst(
        Probing.watchReady(readinessProbe, probed, host.fastStart, (ready) => {
          container.ready = ready
          updateReady()
        }),
        Probing.awaitDead(livenessProbe, probed)
      )
      yield* judged("liveness")
    })

  /** One life of a container. */
  const live = (container: ContainerRecord): Effect.Effect<ContainerExit> =>
    Effect.gen(function* () {
      const command = yield* untilPossible(commandOf(container.spec, record, host, options, volumes))
      // A deleted pod starts nothing any more; the stop ends this fiber.
      if (record.terminating) return yield* Effect.never
      const begun = Date.now()
      const process = runProcess(command, host.janitor, (line) => say(container, line))
      processes.set(container, process)
      container.state = "running"
      container.pid = process.pid
      const again =
        container.restarts === 0 ? undefined : `container ${container.spec.name} ended with ${container.exitCode}`
      container.exitCode = undefined
      host.event(record, again === undefined ? "started" : "restarted", again)
      const watcher = yield* Effect.fork(container.kind === "init" ? Effect.never : watch(container, process))
      const exit = yield* process.exited
      yield* Fiber.interruptFork(watcher)
      const settled = container.ready && Date.now() - begun > SETTLED_MS
      container.state = "terminated"
      container.pid = undefined
      container.exitCode = exit.exitCode
      container.started = false
      container.ready = false
      container.crashes = settled ? 0 : container.crashes + 1
      if (exit.startError !== undefined) {
        say(
          container,
          `rehearsal: container ${container.spec.name} could not start: ${exit.startError} (${command.executable} in ${command.cwd})`
        )
      }
      updateReady()
      host.changed()
      return exit
    })

  const backoff = (container: ContainerRecord) => {
    const base = host.fastStart ? FAST_BACKOFF_MS : BACKOFF_MS
    return container.crashes <= 1 ? 0 : Math.min(MAX_BACKOFF_MS, base * 2 ** (container.crashes - 2))
  }

  /** A container over all its lives. Ends only when it may not be restarted. */
  const keep = (container: ContainerRecord, restart: boolean, until: (exit: ContainerExit) => boolean) =>
    Effect.gen(function* () {
      while (true) {
        const exit = yield* live(container)
        if (!restart || until(exit)) return exit
        if (record.terminating) return yield* Effect.never
        say(container, `rehearsal: container ${container.spec.name} ended with ${exit.exitCode} and is restarted`)
        yield* Effect.sleep(backoff(container))
        container.restarts += 1
      }
    })

  const initialise = Effect.gen(function* () {
    for (const container of record.containers) {
      if (container.kind === "main") continue
      if (container.kind === "init") {
        const exit = yield* keep(container, options.restart, ({ exitCode }) => exitCode === 0)
        if (exit.exitCode !== 0) return exit.exitCode
        continue
      }
      yield* Effect.fork(keep(container, true, () => false))
      yield* Effect.suspend(() => (container.started ? Effect.void : Effect.fail("not yet"))).pipe(
        Effect.retry({ schedule: Schedule.spaced(20) }),
        Effect.orDie
      )
    }
    return 0
  })

  const stopSidecars = Effect.suspend(() =>
    Effect.forEach(
      record.containers.filter(({ kind, state }) => kind === "sidecar" && state === "running").toReversed(),
      (container) => {
        const process = processes.get(container)
        return process ? stopContainer(container, process, grace() * 1000) : Effect.void
      },
      { discard: true }
    )
  )

  const work = Effect.gen(function* () {
    yield* untilPossible(Effect.suspend(() => host.admitPod(record)))
    yield* untilPossible(
      Effect.suspend(() =>
        Either.mapLeft(volumes.sync(), (message) => new Waiting({ reason: "ContainerCreating", message }))
      )
    )
    const failed = yield* initialise
    if (failed !== 0) return failed
    record.phase = "Running"
    host.changed()
    const exits = yield* Effect.forEach(
      record.containers.filter(({ kind }) => kind === "main"),
      (container) => keep(container, options.restart, () => false),
      { concurrency: "unbounded" }
    )
    record.terminating = true
    yield* stopSidecars
    return exits.find(({ exitCode }) => exitCode !== 0)?.exitCode ?? 0
  })

  const orderlyStop = (graceMs: number) =>
    Effect.gen(function* () {
      const running = (kind: ContainerRecord["kind"]) =>
        record.containers.filter((container) => container.kind === kind && container.state === "running")
      yield* Effect.forEach(
        [...running("init"), ...running("main")],
        (container) => {
          const process = processes.get(container)
          return process ? stopContainer(container, process, graceMs) : Effect.void
        },
        { concurrency: "unbounded", discard: true }
      )
      // Sidecars end after the containers they serve.
      for (const container of running("sidecar").toReversed()) {
        const process = processes.get(container)
        if (process) yield* stopContainer(container, process, graceMs)
      }
    })

  const killAll = () => {
    for (const process of processes.values()) process.kill()
  }

  return {
    record,
    run: Effect.raceFirst(
      work,
      Deferred.await(stopping).pipe(
        Effect.flatMap((graceMs) => orderlyStop(graceMs)),
        Effect.as(143)
      )
    ).pipe(
      // A mistake in the driver itself, or a full disk: shown, and slowly, since the owner makes the pod anew.
      Effect.catchAllDefect((defect) =>
        Effect.sync(() => wait("DriverError", defect instanceof Error ? defect.message : String(defect))).pipe(
          Effect.zipRight(Effect.raceFirst(Effect.sleep(DEFECT_MS), Deferred.await(stopping))),
          Effect.as(DRIVER_ERROR)
        )
      ),
      Effect.ensuring(
        Effect.sync(() => {
          killAll()
          record.phase = record.containers.some(({ exitCode }) => exitCode !== 0) ? "Failed" : "Succeeded"
          record.ready = false
          host.event(record, "stopped")
          rmSync(folder, { recursive: true, force: true })
        })
      )
    ),
    stop: (graceSeconds = grace()) =>
      Effect.suspend(() => {
        const first = !record.terminating
        record.terminating = true
        if (first) host.event(record, "stopping")
        host.changed()
        // Never longer than asked for now, whatever was asked for before.
        if (!first) setTimeout(killAll, graceSeconds * 1000).unref()
        return Effect.asVoid(Deferred.succeed(stopping, graceSeconds * 1000))
      }),
    syncVolumes: () => {
      if (record.terminating || record.phase !== "Running") return
      // What can't be written stays as it was, as the kubelet has it.
      const synced = Either.try(() => volumes.sync())
      if (Either.isLeft(synced)) host.event(record, "waiting", `volumes can't be brought up to date: ${synced.left}`)
    },
    kill: Effect.suspend(() => {
      killAll()
      return Effect.forEach(processes.values(), ({ exited }) => exited, { discard: true })
    })
  }
}
