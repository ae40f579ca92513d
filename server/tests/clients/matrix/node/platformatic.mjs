// @platformatic/kafka: node platformatic.mjs HOST:PORT PREFIX SCENARIO...

import { Admin, Consumer, Producer } from '@platformatic/kafka'
import * as cell from './cell.mjs'

const TOPIC = 2 // the resource type
const SET = 0 // the operation
const base = { clientId: 'matrix', bootstrapBrokers: [cell.address], retries: 60, retryDelay: 250, timeout: 10_000 }
const admin = new Admin(base)
const text = buffer => (buffer === null || buffer === undefined ? null : String(buffer))

async function create (name, partitions, configs = []) {
  const topic = cell.topic(name)
  await admin.createTopics({ topics: [topic], partitions, replicas: 1, configs })
  await cell.waited(10, 'leaders', async () => (await led(topic)) === partitions)
  return topic
}

async function led (topic) {
  try {
    const { topics } = await admin.metadata({ topics: [topic], forceUpdate: true })
    return topics.get(topic).partitions.filter(p => p && p.leader >= 0).length
  } catch {
    return 0
  }
}

const producer = () => new Producer({ ...base, idempotent: true, acks: -1 })
const number = (topic, i, partition = 0) => ({ topic, partition, value: Buffer.from(String(i)) })

async function written (messages, options = {}) {
  const writer = producer()
  await writer.send({ messages, ...options })
  await writer.close()
}

const classic = { sessionTimeout: 6000, heartbeatInterval: 300 }
const reading = { autocommit: false, maxWaitTime: 100, mode: 'committed', fallbackMode: 'earliest' }

let readers = 0
// The first records of a topic, or those from `offsets` on.
async function taken (topic, count, offsets) {
  const consumer = new Consumer({ ...base, groupId: `${topic}-reader-${readers++}` })
  const where = offsets ? { mode: 'manual', offsets } : { mode: 'earliest' }
  const stream = await consumer.consume({ ...reading, ...classic, ...where, topics: [topic] })
  const messages = []
  stream.on('data', message => messages.push(message))
  try {
    await cell.waited(30, `${count} records`, () => messages.length >= count)
  } finally {
    await consumer.close(true)
  }
  return messages.slice(0, count)
}

// A member of a group: `take` gets each record, one after another.
async function member (group, topic, take, options = classic) {
  const consumer = new Consumer({ ...base, groupId: group, ...options })
  const stream = await consumer.consume({ ...reading, topics: [topic] })
  const work = (async () => {
    for await (const message of stream) await take(message, consumer)
  })().catch(error => { if (!consumer.closed) throw error })
  return { consumer, leave: async () => { await consumer.close(true); await work.catch(() => {}) } }
}

async function codecs () {
  for (const codec of cell.codecs) {
    const topic = await create(`codecs-${codec}`, 1)
    const wanted = cell.numbers(200).map(i => ({ key: cell.key(i), value: cell.value(i) }))
    await written(wanted.map(r => ({ ...r, topic, partition: 0 })), { compression: codec })
    cell.same(codec, (await taken(topic, 200)).map(({ key, value }) => ({ key, value })), wanted)
  }
}

async function group () {
  const topic = await create('group', 3)
  await written(cell.numbers(90).map(i => number(topic, i, i % 3)))
  const seen = []
  for (const until of [45, 90]) {
    const { leave } = await member(topic, topic, async message => {
      if (seen.length === until) return
      seen.push(Number(message.value))
      await message.commit()
    })
    await cell.waited(30, `${until} records`, () => seen.length === until)
    await leave()
  }
  cell.same('records', seen.sort((a, b) => a - b), cell.numbers(90))
}

// A member of a group that flows. What its stream holds when the group rebalances stays in it, and for a moment it fetches on
// from where it was: a record counts only while its partition is this member's and the stream has asked where the group is.
// Without `retries: 0` the client joins again and sends a refused commit in the name of the next generation, though the
// partition may be another member's by then.
async function careful (group, topic, ledger, options) {
  const consumer = new Consumer({ ...base, groupId: group, ...options, retries: 0 })
  let [joined, settled] = [false, false]
  const mine = partition => settled && consumer.assignments?.some(a => a.topic === topic && a.partitions.includes(partition))
  const stream = await consumer.consume({ ...reading, topics: [topic] })
  settled = true
  if (options.groupProtocol !== 'consumer') {
    consumer.on('consumer:group:rebalance', () => { [joined, settled] = [false, false] })
    consumer.on('consumer:group:join', () => { [joined, settled] = [true, false] })
    stream.on('offsets', () => { settled = settled || joined })
  }
  const refused = new Map() // partition → what the next commit of it covers too
  const work = (async () => {
    for await (const { value, partition, offset, leaderEpoch, metadata } of stream) {
      if (metadata.consumer.generationId !== consumer.generationId || !mine(partition)) continue
      ledger.receive(value)
      const covered = [...refused.get(partition) ?? [], value]
      refused.set(partition, covered)
      try {
        await consumer.commit({ offsets: [{ topic, partition, offset: offset + 1n, leaderEpoch }] })
        covered.forEach(record => ledger.commit(record))
        refused.delete(partition)
      } catch {
        // A rebalance took the commit away: who has the partition now sees the record again.
      }
    }
  })().catch(error => { if (!consumer.closed) throw error })
  return async () => { await consumer.close(true); await work.catch(() => {}) }
}

async function flowing (name, options) {
  const topic = await create(name, 6)
  const writer = producer()
  const send = i => writer.send({ messages: [number(topic, i, i % 6)] })
  await cell.flow(send, ledger => careful(topic, topic, ledger, options))
  await writer.close()
}

async function time () {
  const topic = await create('time', 1)
  await written(cell.numbers(100).map(i => ({ ...number(topic, i), timestamp: BigInt(cell.started + i * 1000) })))
  for (const [after, want] of [[-1, 0n], [41_500, 42n], [200_000, -1n]]) {
    const asked = [{ partitionIndex: 0, timestamp: BigInt(cell.started + after) }]
    const [found] = await admin.listOffsets({ topics: [{ name: topic, partitions: asked }] })
    cell.same(`offset for ${after}`, found.partitions[0].offset, want)
  }
  const [first] = await taken(topic, 1, [{ topic, partition: 0, offset: 42n }])
  cell.same('first record', text(first.value), '42')
}

async function topics () {
  const topic = await create('topics', 3, [{ name: 'retention.ms', value: '3600000' }])
  cell.same('listed', (await admin.listTopics()).includes(topic), true)
  const again = await admin.createTopics({ topics: [topic], partitions: 3, replicas: 1 }).then(() => 'done', error => JSON.stringify(error, replacer))
  if (!again.includes('TOPIC_ALREADY_EXISTS')) throw new Error(`the second creation: ${again}`)
  await admin.deleteTopics({ topics: [topic] })
  await cell.waited(10, 'its end', async () => !(await admin.listTopics()).includes(topic))
}

function replacer (_, value) {
  if (value instanceof Error) return { ...value, message: value.message, errors: value.errors, cause: value.cause }
  return typeof value === 'bigint' ? String(value) : value
}

async function configs () {
  const topic = await create('configs', 1, [{ name: 'retention.ms', value: '3600000' }])
  const resource = { resourceType: TOPIC, resourceName: topic }
  const retention = async () => {
    const [found] = await admin.describeConfigs({ resources: [{ ...resource, configurationKeys: ['retention.ms'] }] })
    return found.configs[0].value
  }
  cell.same('at first', await retention(), '3600000')
  await admin.incrementalAlterConfigs({
    resources: [{ ...resource, configs: [{ name: 'retention.ms', configOperation: SET, value: '7200000' }] }]
  })
  cell.same('incrementally', await retention(), '7200000')
  await admin.alterConfigs({ resources: [{ ...resource, configs: [{ name: 'retention.ms', value: '5400000' }] }] })
  cell.same('as a whole', await retention(), '5400000')
}

async function partitions () {
  const topic = await create('partitions', 2)
  await admin.createPartitions({ topics: [{ name: topic, count: 4, assignments: null }] })
  await cell.waited(10, 'four partitions', async () => (await led(topic)) === 4)
  await written([number(topic, 7, 3)])
  const [message] = await taken(topic, 1)
  cell.same('record', [message.partition, text(message.value)], [3, '7'])
}

async function deleteRecords () {
  const topic = await create('delete', 1)
  await written(cell.numbers(10).map(i => number(topic, i)))
  const [done] = await admin.deleteRecords({ topics: [{ name: topic, partitions: [{ partition: 0, offset: 5n }] }] })
  cell.same('low watermark', done.partitions[0].lowWatermark, 5n)
  cell.same('first offset', (await taken(topic, 1))[0].offset, 5n)
}

async function shapes () {
  const topic = await create('shapes', 1)
  const pairs = [['one', 'first'], ['bytes', cell.everyByte], ['empty', '']]
  const headers = new Map(pairs.map(([name, value]) => [Buffer.from(name), Buffer.from(value)]))
  const wanted = [
    { key: 'large', value: cell.large },
    { key: 'empty', value: Buffer.alloc(0) },
    { key: 'tombstone', value: null },
    { key: null, value: Buffer.from('no key') },
    { key: 'headers', value: Buffer.from('v'), headers }
  ]
  const writer = producer()
  for (const { key, ...rest } of wanted) {
    const named = key === null ? {} : { key: Buffer.from(key) }
    await writer.send({ messages: [{ topic, partition: 0, ...rest, ...named }] })
  }
  await writer.close()
  const got = await taken(topic, 5)
  for (const [i, message] of got.entries()) {
    const value = message.value === undefined || message.value === null ? null : Buffer.from(message.value)
    cell.same('record', [text(message.key), value], [wanted[i].key, wanted[i].value])
  }
  const told = [...got[4].headers].map(([name, value]) => [text(name), Buffer.from(value)])
  cell.same('headers', told, pairs.map(([name, value]) => [name, Buffer.from(value)]))
  return 'headers are a Map here: no name twice'
}

async function restart () {
  const topic = await create('restart', 1)
  await written(cell.numbers(100).map(i => number(topic, i)))
  const seen = []
  const { leave } = await member(topic, topic, async message => {
    seen.push(Number(message.value))
    await message.commit().catch(() => {})
  })
  await cell.waited(30, 'the first records', () => seen.length === 100)
  const writer = producer()
  cell.restartBegins()
  for (let i = 100; i < 300; i++) {
    await writer.send({ messages: [number(topic, i)] })
    await cell.pause(10)
  }
  await cell.restartIsOver()
  await cell.waited(60, 'the other records', () => seen.includes(299))
  await leave()
  await writer.close()
  // A record whose commit the kill took may come again; each is there once in the log.
  cell.same('records in the log', (await taken(topic, 300)).map(m => Number(m.value)), cell.numbers(300))
  cell.same('records', [...new Set(seen)].sort((x, y) => x - y), cell.numbers(300))
}

// What a stream or a pool tells only as an event is told again by the call that waits for it.
process.on('unhandledRejection', error => console.error(error))
process.on('uncaughtException', error => console.error(error))

await cell.main('platformatic-kafka', cell.versionOf('@platformatic/kafka'), {
  codecs,
  assign: cell.lacks('its streams always join a group'),
  group,
  rebalance: () => flowing('rebalance', classic),
  'new-group': () => flowing('new-group', { groupProtocol: 'consumer' }),
  static: cell.lacks('its members leave the group when they close, group.instance.id or not'),
  time,
  topics,
  configs,
  partitions,
  'delete-records': deleteRecords,
  shapes,
  restart
})
