// Follow the facts of a workspace with nats.js: every fact once and in order, whatever breaks meanwhile.
//
//     npm install
//     trialbook nats user add carol --workspace main --out carol.nk
//     node subscriber.mjs nats://127.0.0.1:4222 carol.nk main facts.ndjson
//
// A tap says what happens while you listen. What happened before, or while the connection was gone, is asked for with
// `event.list`; how much that was is said on standard error. Kill it when you like: it goes on where its file ends.

import { closeSync, existsSync, ftruncateSync, openSync, readFileSync, writeSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect, nkeyAuthenticator } from '@nats-io/transport-node'

const PAUSE_MS = 500
const QUIET_MS = 5000

// One line of JSON for each fact. The last whole line is the cursor: what was done and how far are one write.
class Journal {
  constructor (path) {
    const written = existsSync(path) ? readFileSync(path) : Buffer.alloc(0)
    const whole = written.lastIndexOf(10) + 1
    this.file = openSync(path, 'a')
    ftruncateSync(this.file, whole) // a line that was being written when we were killed
    const lines = written.subarray(0, whole).toString().trimEnd().split('\n')
    this.cursor = whole ? JSON.parse(lines.at(-1)).sequence : 0
  }

  add (sequence, event) {
    if (sequence <= this.cursor) return
    writeSync(this.file, JSON.stringify({ sequence, event }) + '\n')
    this.cursor = sequence
  }

  close () { closeSync(this.file) }
}

// Ask for everything after the cursor; the answer has seen `atLeast` that sequence of the ledger.
async function catchUp (nc, workspace, journal, atLeast = 0) {
  const began = journal.cursor
  let limit = 500
  for (;;) {
    const question = { after: journal.cursor, limit, at_least: atLeast }
    const reply = await nc.request(`ask.${workspace}.event.list`, JSON.stringify(question), { timeout: 10000 })
    const { result, error } = reply.json()
    if (error?.code === 'reply_too_large' && limit > 1) {
      limit = Math.floor(limit / 2)
      continue
    }
    if (error) throw new Error(`${error.code}: ${error.detail}`)
    for (const { sequence, event } of result.items) journal.add(sequence, event)
    if (result.next_cursor === null) break
  }
  if (journal.cursor > began) console.error(`gap: caught up from sequence ${began} to ${journal.cursor}`)
}

// Everything on one connection, until it is lost.
async function session (nc, workspace, journal) {
  const tap = nc.subscribe(`tap.fact.${workspace}.>`)
  await nc.flush() // from here on the tap misses nothing
  await catchUp(nc, workspace, journal)
  let joined = false
  let busy = Promise.resolve()
  const inTurn = (work) => { busy = busy.then(work); return busy }
  const quiet = setInterval(() => inTurn(() => catchUp(nc, workspace, journal)).catch(() => nc.close()), QUIET_MS)
  try {
    for await (const message of tap) {
      await inTurn(async () => {
        const sequence = Number(message.headers.get('Nats-Sequence'))
        if (!joined) { // the first one on the tap: what lies between the last answer and it?
          await catchUp(nc, workspace, journal, sequence - 1)
          joined = true
        }
        journal.add(sequence, message.json())
      })
    }
  } finally {
    clearInterval(quiet)
  }
}

// A new session whenever a connection is lost: the client's own reconnect would hide the gap.
async function follow (servers, seed, workspace, journal) {
  const authenticator = nkeyAuthenticator(new TextEncoder().encode(seed))
  for (;;) {
    let nc
    try {
      nc = await connect({ servers, authenticator, reconnect: false, timeout: 2000, pingInterval: 5000 })
      await session(nc, workspace, journal)
    } catch (error) {
      console.error(`connection lost, beginning again: ${error.message}`)
    } finally {
      await nc?.close().catch(() => {})
    }
    await sleep(PAUSE_MS)
  }
}

const [servers, seedFile, workspace, file] = process.argv.slice(2)
if (!file) {
  console.error('usage: node subscriber.mjs SERVER SEED-FILE WORKSPACE FILE')
  process.exit(2)
}
await follow(servers, readFileSync(seedFile, 'utf8').trim(), workspace, new Journal(file))
