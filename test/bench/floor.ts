/**
 * What this Postgres does at most for work of that kind: pgbench, 50 connections, four single-row transactions a round, as
 * many as an engine without batches writes for a workflow of two steps.
 */
import { execFile } from "node:child_process"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"
import { Effect } from "effect"
import pg from "pg"

const SCRIPT = `
\\set id random(1, 1000000000)
insert into work (id, state) values (:id, 'begun');
insert into work (id, state) values (:id, 'first');
insert into work (id, state) values (:id, 'second');
insert into work (id, state) values (:id, 'done');
`

/** Rounds a second; `undefined` where there is no pgbench (Debian: package postgresql-contrib or postgresql). */
export const floor = (url: string, seconds: number): Effect.Effect<number | undefined> =>
  Effect.promise(async () => {
    const client = new pg.Client({ connectionString: url })
    await client.connect()
    await client.query("create table if not exists work (id bigint, state text, at timestamptz default now())")
    await client.query("create index if not exists work_id on work (id)")
    await client.end()
    const folder = await mkdtemp(join(tmpdir(), "agents-pgbench-"))
    try {
      const file = join(folder, "work.sql")
      await writeFile(file, SCRIPT)
      const { stdout } = await promisify(execFile)("pgbench", [
        ...["--no-vacuum", "--protocol=prepared", "--client=50", "--jobs=2"],
        ...[`--time=${seconds}`, `--file=${file}`, url]
      ])
      const found = /^tps = ([\d.]+)/m.exec(stdout)?.[1]
      return found === undefined ? undefined : Number(found)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined
      throw error
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
  })
