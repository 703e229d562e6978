/**
 * What the gate reads, as selects without parameters: they are sent by `COPY`.
 *
 * The plan is held still by how they are written. First the parts of open executions are found and put in order, without what
 * they hold: some dozen bytes each, sorted in memory. Then each one's texts are looked up by key, while the rows before are being
 * judged. With 100,000 open executions among a million rows that took Postgres 2.1 s of CPU, 1.0 s of them before the first row;
 * rows that were sorted with all they hold took 2.9 s before the first, and spilled 124 MB.
 */

/** A value, or what stands for one that is too long to be loaded. No JSON text begins like it. */
export const TOO_LONG = "too long: "
export const VALUE_BYTES = 256 * 1024
const bounded = (value: string) =>
  `case when octet_length(${value}) > ${VALUE_BYTES} then '${TOO_LONG}' || octet_length(${value}) else ${value} end`

/** A start of a workflow. */
const starts = (alias: string) =>
  `${alias}.kind = 0 and ${alias}.tag = 'run' and ${alias}.entity_type like 'Workflow/%' and ${alias}.entity_type <> 'Workflow/-/DurableClock'`

/**
 * How the library begins the reply of an execution that has ended. Should it write its keys in another order one day, ended ones
 * are read as open, and recognised when they are put together, only slower.
 */
const COMPLETE = '{"_tag":"Success","value":{"_tag":"Complete"'
/** Of the first characters alone: a long reply would be read from its own pages to be compared. */
const complete = (reply: string) => `starts_with(left(${reply}, ${COMPLETE.length}), '${COMPLETE}')`

const payloadOf = (id: string) => `(select ${bounded("m.payload")} from cluster.cluster_messages m where m.id = ${id})`
const replyOf = (id: string) =>
  `(select ${bounded("r.payload")} from cluster.cluster_replies r where r.request_id = ${id} and r.kind = 0)`

/**
 * The parts of open executions, each execution's start before its other parts, executions in the order of their starts. A step of
 * the journal reads like an activity's message and its answer. Columns: kind, payload (of a step its name), reply; then of a
 * start its id, workflow, execution, shard and its reply's id, of a step its attempt and the release that wrote it.
 * `journal`: whether this database has the table; the gate asks before the migration that makes it.
 */
export const executions = (journal: boolean): string => `
  with open as materialized (
    select m.id, m.entity_type, m.entity_id, m.shard_id, r.id as reply
    from cluster.cluster_messages m
    left join cluster.cluster_replies r on r.request_id = m.id and r.kind = 0
    where ${starts("m")} and (r.id is null or not ${complete("r.payload")})
  ), part as (
    select id as run, 'run' as kind, id as message, 0::bigint as place, substr(entity_type, 10) as a, entity_id as b, shard_id as c, reply
    from open
    union all
    select o.id, case when m.entity_type = o.entity_type then m.tag else 'clock' end, m.id, m.rowid, null, null, null, null
    from open o
    join cluster.cluster_messages m on m.entity_id = o.entity_id
    where m.kind = 0 and (
      (m.entity_type = o.entity_type and m.tag in ('activity', 'deferred'))
      or (m.entity_type = 'Workflow/-/DurableClock' and not m.processed))${
        journal
          ? `
    union all
    select o.id, 'step', null, (extract(epoch from s.started_at) * 1000)::bigint, s.name, s.execution_id, s.release, s.attempt
    from open o
    join agents.steps s on s.execution_id = o.entity_id`
          : ""
      }
  ), sorted as (
    select * from part order by run, kind <> 'run', place offset 0
  )
  select kind,
    case kind when 'step' then a else ${payloadOf("message")} end,
    case kind ${
      journal
        ? `when 'step' then (select ${bounded("s.exit")} from agents.steps s where s.execution_id = b and s.name = a and s.attempt = reply)`
        : ""
    }
      when 'clock' then null when 'deferred' then null else ${replyOf("message")} end,
    case kind when 'run' then run when 'step' then reply end,
    case kind when 'run' then a when 'step' then c end,
    case kind when 'run' then b end,
    case kind when 'run' then c end,
    case kind when 'run' then reply end
  from sorted`

/** Calls of entities that nobody has answered. */
export const calls = `
  select entity_type, entity_id, tag, shard_id, ${bounded("payload")} from cluster.cluster_messages
  where kind = 0 and not processed and entity_type not like 'Workflow/%' order by id`

const literal = (text: string) => `'${text.replaceAll("'", "''")}'`

/**
 * Results of ended executions that somebody may still ask for: an open parent, when it is replayed; a gateway, while the run that
 * the execution belongs to has not ended; and whoever started one that belongs to no run. `runs`: whether this database has the
 * table. A run that has ended is answered from its own row.
 */
export const results = (workflows: ReadonlyArray<string>, runs: boolean): string => `
  select substr(m.entity_type, 10), m.entity_id, ${bounded("r.payload")}
  from cluster.cluster_messages m
  join cluster.cluster_replies r on r.request_id = m.id and r.kind = 0
  where ${starts("m")} and ${complete("r.payload")}
    and m.entity_type in (${workflows.map((name) => literal(`Workflow/${name}`)).join(", ")})
    and (
      case when m.payload like '%"~@effect/workflow/parent":%' then exists (
        select from cluster.cluster_messages p
        left join cluster.cluster_replies pr on pr.request_id = p.id and pr.kind = 0
        where p.message_id = (
            select 'Workflow/' || (parent->>'workflowName') || '/' || (parent->>'executionId') || '/run/'
            from (select case when m.payload is json then m.payload::jsonb -> '~@effect/workflow/parent' end as parent) as given)
          and (pr.id is null or not ${complete("pr.payload")}))
      else ${runs ? "not exists (select from agents.runs u where u.execution_id = m.entity_id and u.finished_at is not null)" : "true"} end)`

/** A snowflake holds milliseconds above its lowest 22 bits: of the start and of the reply they tell how long an execution took. */
export const lived = (workflow: string): string => `
  select count(*), percentile_disc(0.5) within group (order by ms), percentile_disc(0.95) within group (order by ms), max(ms)
  from (
    select greatest(0, (r.id >> 22) - (m.id >> 22)) as ms
    from cluster.cluster_messages m
    join cluster.cluster_replies r on r.request_id = m.id and r.kind = 0
    where ${starts("m")} and ${complete("r.payload")} and m.entity_type = ${literal(`Workflow/${workflow}`)}
  ) as ended`
