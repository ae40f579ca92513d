// kafkajs: node kafkajs.mjs HOST:PORT PREFIX SCENARIO...

import zlib from 'node:zlib'
import kafkajs from 'kafkajs'
import SnappyCodec from 'kafkajs-snappy'
import * as cell from './cell.mjs'

const { CompressionCodecs, CompressionTypes, ConfigResourceTypes, Kafka, Partitioners, logLevel } = kafkajs
CompressionCodecs[CompressionTypes.Snappy] = SnappyCodec
CompressionCodecs[CompressionTypes.ZSTD] = () => ({
  compress: async encoder => zlib.zstdCompressSync(encoder.buffer),
  decompress: async buffer => zlib.zstdDecompressSync(buffer)
})
const kinds = {
  none: CompressionTypes.None,
  gzip: CompressionTypes.GZIP,
  snappy: CompressionTypes.Snappy,
  zstd: CompressionTypes.ZSTD
}

const kafka = new Kafka({
  brokers: [cell.address],
  clientId: 'matrix',
  logLevel: logLevel.NOTHING,
  retry: { initialRetryTime: 100, maxRetryTime: 1000, retries: 30 }
})
const admin = kafka.admin()
await admin.connect()

async function create (name, partitions, configEntries = []) {
  const topic = cell.topic(name)
  await admin.createTopics({ topics: [{ topic, numPartitions: partitions, replicationFactor: 1, configEntries }], waitForLeaders: true })
  return topic
}

const partitionsOf = async topic => (await admin.fetchTopicMetadata({ topics: [topic] })).topics[0].partitions

async function producer () {
  const made = kafka.producer({ idempotent: true, createPartitioner: Partitioners.DefaultPartitioner })
  await made.connect()
  return made
}

async function written (topic, messages, compression) {
  const writer = await producer()
  await writer.send({ topic, messages, acks: -1, compression })
  await writer.disconnect()
}

const number = (i, partition = 0) => ({ partition, value: String(i) })

// A member of a group; `take` gets each record and the way to commit it.
async function member (groupId, topic, take, options = {}) {
  const consumer = kafka.consumer({ groupId, sessionTimeout: 6000, heartbeatInterval: 300, maxWaitTimeInMs: 100, ...options })
  await consumer.connect()
  await consumer.subscribe({ topics: [topic], fromBeginning: true })
  await consumer.run({
    autoCommit: false,
    eachMessage: async ({ partition, message }) => {
      const offset = String(Number(message.offset) + 1)
      await take(message, partition, () => consumer.commitOffsets([{ topic, partition, offset }]))
    }
  })
  return consumer
}

let readers = 0
async function taken (topic, count, from) {
  const messages = []
  const consumer = await member(`${topic}-reader-${readers++}`, topic, (message, partition) => messages.push({ ...message, partition }))
  if (from) consumer.seek({ topic, partition: 0, offset: from })
  try {
    await cell.waited(30, `${count} records`, () => messages.length >= count)
  } finally {
    await consumer.disconnect()
  }
  return messages.slice(0, count)
}

async function codecs () {
  for (const codec of Object.keys(kinds)) {
    const topic = await create(`codecs-${codec}`, 1)
    const wanted = cell.numbers(200).map(i => ({ key: cell.key(i), value: cell.value(i) }))
    await written(topic, wanted.map(r => ({ ...r, partition: 0 })), kinds[codec])
    cell.same(codec, (await taken(topic, 200)).map(({ key, value }) => ({ key, value })), wanted)
  }
  return 'no lz4: its plug-ins need a compiler or write blocks that Java readers refuse; snappy by kafkajs-snappy, zstd by Node'
}

async function group () {
  const topic = await create('group', 3)
  await written(topic, cell.numbers(90).map(i => number(i, i % 3)))
  const seen = []
  for (const until of [45, 90]) {
    const consumer = await member(topic, topic, async (message, partition, commit) => {
      if (seen.length === until) throw new Error('enough')
      seen.push(Number(message.value))
      await commit()
    })
    await cell.waited(30, `${until} records`, () => seen.length === until)
    await consumer.disconnect()
  }
  cell.same('records', seen.sort((a, b) => a - b), cell.numbers(90))
}

async function rebalance () {
  const topic = await create('rebalance', 6)
  const writer = await producer()
  const send = i => writer.send({ topic, messages: [number(i, i % 6)], acks: -1 })
  await cell.flow(send, async ledger => {
    const consumer = await member(topic, topic, async (message, partition, commit) => {
      ledger.receive(message.value)
      await commit()
      ledger.commit(message.value)
    })
    return () => consumer.disconnect()
  })
  await writer.disconnect()
}

async function time () {
  const topic = await create('time', 1)
  await written(topic, cell.numbers(100).map(i => ({ ...number(i), timestamp: String(cell.started + i * 1000) })))
  // The client tells the end of the log where no record is late enough.
  for (const [after, want] of [[-1, '0'], [41_500, '42'], [200_000, '100']]) {
    const [found] = await admin.fetchTopicOffsetsByTimestamp(topic, cell.started + after)
    cell.same(`offset for ${after}`, found.offset, want)
  }
  cell.same('first record', Number((await taken(topic, 1, '42'))[0].value), 42)
}

async function topics () {
  const topic = await create('topics', 3, [{ name: 'retention.ms', value: '3600000' }])
  cell.same('listed', (await admin.listTopics()).includes(topic), true)
  cell.same('partitions', (await partitionsOf(topic)).length, 3)
  const again = await admin.createTopics({ topics: [{ topic, numPartitions: 3, replicationFactor: 1 }] })
  cell.same('second creation', again, false)
  await admin.deleteTopics({ topics: [topic] })
  await cell.waited(10, 'its end', async () => !(await admin.listTopics()).includes(topic))
}

async function configs () {
  const topic = await create('configs', 1, [{ name: 'retention.ms', value: '3600000' }])
  const resource = { type: ConfigResourceTypes.TOPIC, name: topic }
  const retention = async () => {
    const { resources } = await admin.describeConfigs({ resources: [resource], includeSynonyms: false })
    return resources[0].configEntries.find(entry => entry.configName === 'retention.ms').configValue
  }
  cell.same('at first', await retention(), '3600000')
  await admin.alterConfigs({ validateOnly: false, resources: [{ ...resource, configEntries: [{ name: 'retention.ms', value: '7200000' }] }] })
  cell.same('afterwards', await retention(), '7200000')
}

async function partitions () {
  const topic = await create('partitions', 2)
  await admin.createPartitions({ topicPartitions: [{ topic, count: 4 }] })
  await cell.waited(10, 'four partitions', async () => (await partitionsOf(topic)).length === 4)
  await written(topic, [number(7, 3)])
  const [message] = await taken(topic, 1)
  cell.same('record', [message.partition, Number(message.value)], [3, 7])
}

async function deleteRecords () {
  const topic = await create('delete', 1)
  await written(topic, cell.numbers(10).map(i => number(i)))
  // The client looks for the leader in what it already knows of the topic.
  await admin.fetchTopicOffsets(topic)
  await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: '5' }] })
  cell.same('low watermark', (await admin.fetchTopicOffsets(topic))[0].low, '5')
  cell.same('first offset', (await taken(topic, 1))[0].offset, '5')
}

async function shapes () {
  const topic = await create('shapes', 1)
  const headers = { twice: ['one', 'two'], bytes: cell.everyByte, empty: Buffer.alloc(0) }
  const wanted = [
    { key: 'large', value: cell.large },
    { key: 'empty', value: Buffer.alloc(0) },
    { key: 'tombstone', value: null },
    { key: null, value: Buffer.from('no key') },
    { key: 'headers', value: Buffer.from('v'), headers }
  ]
  const writer = await producer()
  for (const message of wanted) await writer.send({ topic, messages: [{ ...message, partition: 0 }], acks: -1 })
  await writer.disconnect()
  const got = await taken(topic, 5)
  for (const [i, message] of got.entries()) {
    cell.same('record', [message.key && String(message.key), message.value], [wanted[i].key, wanted[i].value])
  }
  const told = { ...got[4].headers, twice: got[4].headers.twice.map(String) }
  cell.same('headers', told, headers)
}

async function restart () {
  const topic = await create('restart', 1)
  await written(topic, cell.numbers(100).map(i => number(i)))
  const seen = []
  const consumer = await member(topic, topic, async (message, partition, commit) => {
    seen.push(Number(message.value))
    await commit()
  })
  await cell.waited(30, 'the first records', () => seen.length === 100)
  const writer = await producer()
  cell.restartBegins()
  for (let i = 100; i < 300; i++) {
    await writer.send({ topic, messages: [number(i)], acks: -1 })
    await cell.pause(10)
  }
  await cell.restartIsOver()
  await cell.waited(60, 'the other records', () => seen.includes(299))
  await consumer.disconnect()
  await writer.disconnect()
  // A record whose commit the kill took may come again; each is there once in the log.
  cell.same('records in the log', (await taken(topic, 300)).map(m => Number(m.value)), cell.numbers(300))
  cell.same('records', [...new Set(seen)].sort((a, b) => a - b), cell.numbers(300))
}

await cell.main('kafkajs', cell.versionOf('kafkajs'), {
  codecs,
  assign: cell.lacks('the client reads through groups alone'),
  group,
  rebalance,
  'new-group': cell.lacks('the client speaks the classic protocol alone'),
  static: cell.lacks('the client has no group.instance.id'),
  time,
  topics,
  configs,
  partitions,
  'delete-records': deleteRecords,
  shapes,
  restart
})
