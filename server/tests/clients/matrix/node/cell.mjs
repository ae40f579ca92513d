// What the Node programs of the matrix share: records, verdicts, the lines on standard output, the group that flows.

import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { isDeepStrictEqual } from 'node:util'

export const [address, prefix, ...asked] = process.argv.slice(2)
export const codecs = ['none', 'gzip', 'snappy', 'lz4', 'zstd']
export const large = Buffer.from('0123456789abcdef'.repeat((900 * 1024) / 16))
export const everyByte = Buffer.from(Array.from({ length: 256 }, (_, i) => i))
export const started = Date.now() - 3_600_000
export const flowing = 600
const members = 3

class Lacks extends Error {}

export function lacks (reason) {
  return async () => { throw new Lacks(reason) }
}

export const topic = name => `${prefix}-${name}`
export const key = i => Buffer.from(`k-${i}`)
export const value = i => Buffer.from(`v-${i} `.repeat(20))
export const numbers = n => Array.from({ length: n }, (_, i) => i)
export const pause = ms => new Promise(resolve => setTimeout(resolve, ms))

export function same (what, got, want) {
  if (!isDeepStrictEqual(got, want)) throw new Error(`${what}: ${short(got)} instead of ${short(want)}`)
}

function short (thing) {
  const text = JSON.stringify(thing, (_, v) => (typeof v === 'bigint' ? `${v}` : v)) ?? String(thing)
  return text.length < 120 ? text : `${text.slice(0, 60)}…${text.slice(-50)}`
}

// Asks until the answer is true.
export async function waited (seconds, what, ready) {
  for (const end = Date.now() + seconds * 1000; !(await ready()); await pause(50)) {
    if (Date.now() > end) throw new Error(`waited ${seconds} s for ${what}`)
  }
}

const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]()

// The driver kills the broker and starts it again while the program goes on.
export function restartBegins () {
  console.log('restart')
}

export async function restartIsOver () {
  const { value: line } = await answers.next()
  same('the driver', line, 'restarted')
}

// What the members of one group saw: each record at least once, none again after its commit.
class Ledger {
  seen = new Set()
  committed = new Set()
  again = new Set()

  receive (value) {
    this.seen.add(String(value))
    if (this.committed.has(String(value))) this.again.add(String(value))
  }

  commit (value) {
    this.committed.add(String(value))
  }
}

// Three members join one after another and the first leaves, while records flow. `join(ledger)` gives how to leave.
export async function flow (send, join) {
  const ledger = new Ledger()
  const leaving = []
  for (let i = 0; i < flowing; i++) {
    if (i % (flowing / 4) === 0) {
      if (leaving.length < members) leaving.push(join(ledger))
      else leaving[0] = leaving[0].then(async leave => { await leave(); return async () => {} })
    }
    await send(i)
    await pause(10)
  }
  for (const end = Date.now() + 40_000; ledger.committed.size < flowing && Date.now() < end;) await pause(100)
  for (const member of leaving) await (await member)()
  if (ledger.seen.size < flowing || ledger.again.size > 0) {
    throw new Error(`${flowing - ledger.seen.size} records lost, ${ledger.again.size} seen again after their commit`)
  }
}

export function versionOf (name) {
  return JSON.parse(readFileSync(new URL(`node_modules/${name}/package.json`, import.meta.url))).version
}

// An error with what it hides: causes, and the errors of a group.
function chain (error) {
  const hidden = [...(error.errors ?? []), error.cause].filter(Boolean).slice(-1).map(chain)
  return [error.apiId ?? error.message, ...hidden].join(': ')
}

export async function main (client, version, scenarios) {
  console.log(`version ${client} ${version}`)
  for (const name of asked) {
    try {
      console.log(`ok ${name} ${(await scenarios[name]()) ?? ''}`.trim())
    } catch (error) {
      const said = chain(error).split(/\s+/).join(' ')
      console.log(error instanceof Lacks ? `n/a ${name} ${said}` : `FAILED ${name} ${said.slice(0, 300)}`)
    }
  }
  process.exit(0)
}
