// An unmodified client of Braze's REST API against ours: node vendor.cjs URL KEY SEGMENT. It ends with an error at the first
// answer that is not what the vendor's would be.
const assert = require('node:assert')
const zlib = require('node:zlib')
const { Braze } = require('braze-api')

const [url, key, segment] = process.argv.slice(2)
const braze = new Braze(url, key)

// until asks again until good says so: what is tracked is counted a moment later.
async function until(ask, good) {
  for (let left = 600; ; left--) {
    const answer = await ask()
    if (good(answer)) return answer
    assert.ok(left > 0, 'still ' + JSON.stringify(answer))
    await new Promise(done => setTimeout(done, 100))
  }
}

// lines gives the objects in the files of an archive, in their order.
function lines(zip) {
  const found = []
  for (let at = zip.readUInt32LE(zip.lastIndexOf('PK\u0005\u0006') + 16); zip.readUInt32LE(at) === 0x02014b50;) {
    const [packed, name, extra, comment, begins] = [zip.readUInt32LE(at + 20), zip.readUInt16LE(at + 28), zip.readUInt16LE(at + 30), zip.readUInt16LE(at + 32), zip.readUInt32LE(at + 42)]
    const from = begins + 30 + zip.readUInt16LE(begins + 26) + zip.readUInt16LE(begins + 28)
    found.push(...zlib.inflateRawSync(zip.subarray(from, from + packed)).toString().trim().split('\n').map(line => JSON.parse(line)))
    at += 46 + name + extra + comment
  }
  return found
}

async function refused(call, status, message) {
  await assert.rejects(call, e => e.status === status && e.message === message, `wants ${status} ${message}`)
}

async function main() {
  const alias = { alias_name: '4711', alias_label: 'crm' }
  const time = new Date().toISOString()

  // Tracking.
  assert.deepEqual(await braze.users.track({
    attributes: [{ external_id: 'ana', email: 'ana@example.com', country: 'PT', shoe: 38 }],
    events: [{ external_id: 'ana', name: 'saw', time, properties: { page: 'home' } }, { external_id: 'bo', name: 'saw', time }],
    purchases: [{ external_id: 'ana', product_id: 'hat', currency: 'EUR', price: 2.5, quantity: 2, time }],
  }), { message: 'success', attributes_processed: 1, events_processed: 2, purchases_processed: 1 })
  const partly = await braze.users.track({ events: [{ external_id: 'ana', name: 'saw', time }, { external_id: 'ana', time }] })
  assert.equal(partly.message, 'success')
  assert.equal(partly.errors.length, 1)

  // Exports.
  const fields = ['external_id', 'country', 'custom_attributes', 'custom_events', 'purchases']
  const { users } = await until(() => braze.users.export.ids({ external_ids: ['ana', 'nobody'], fields_to_export: fields }), a => a.users.length === 1 && a.users[0].custom_events?.[0].count === 2)
  const [ana] = users
  assert.deepEqual([ana.external_id, ana.country, ana.custom_attributes, ana.custom_events[0].name, ana.purchases[0].name], ['ana', 'PT', { shoe: 38 }, 'saw', 'hat'])
  for (const [ask, want] of [
    [() => braze.users.export.segment({ segment_id: segment, fields_to_export: ['external_id', 'country'] }), [{ country: 'PT', external_id: 'ana' }]],
    [() => braze.users.export.global_control_group({ fields_to_export: ['external_id'] }), [{ external_id: 'ana' }, { external_id: 'bo' }, { external_id: 'x' }]],
  ]) {
    const asked = await ask()
    assert.equal(asked.message, 'success')
    assert.match(asked.object_prefix, /^[0-9a-f-]{36}-[0-9]{10}$/)
    const file = await until(() => fetch(asked.url), a => a.status === 200)
    assert.deepEqual(lines(Buffer.from(await file.arrayBuffer())).sort((a, b) => a.external_id < b.external_id ? -1 : 1), want)
  }

  // Identity.
  assert.deepEqual(await braze.users.alias.new({ user_aliases: [alias] }), { message: 'success', aliases_processed: 1 })
  assert.deepEqual(await braze.users.alias.update({ alias_updates: [{ alias_label: 'crm', old_alias_name: '4711', new_alias_name: '4712' }] }), { message: 'success' })
  assert.deepEqual(await braze.users.identify({ aliases_to_identify: [{ external_id: 'ana', user_alias: { ...alias, alias_name: '4712' } }] }), { message: 'success', aliases_processed: 1 })
  assert.deepEqual(await braze.users.external_ids.rename({ external_id_renames: [{ current_external_id: 'ana', new_external_id: 'ana-2' }] }),
    { message: 'success', external_ids: ['ana-2'], rename_errors: [] })
  assert.deepEqual(await braze.users.external_ids.remove({ external_ids: ['ana'] }), { message: 'success', removed_ids: ['ana'], removal_errors: [] })
  assert.equal((await braze.users.merge({ merge_updates: [{ identifier_to_merge: { external_id: 'bo' }, identifier_to_keep: { external_id: 'ana-2' } }] })).message, 'success')
  assert.deepEqual(await braze.users.delete({ external_ids: ['ana-2'] }), { message: 'success', deleted: 1 })

  // Segments.
  const { segments } = await braze.segments.list()
  assert.deepEqual(segments.map(s => [s.id, s.name, s.analytics_tracking_enabled, s.tags]), [[segment, 'Portugal', true, ['eu']]])
  assert.equal((await braze.segments.details({ segment_id: segment })).name, 'Portugal')
  assert.equal((await braze.segments.analytics({ segment_id: segment, length: 7 })).data.length, 7)
  await refused(braze.segments.details({ segment_id: 'none' }), 400, 'Invalid Segment ID')

  // Campaigns and Canvases.
  const { campaigns } = await until(() => braze.campaigns.list(), a => a.campaigns.length === 1)
  assert.deepEqual(campaigns.map(c => [c.id, c.name, c.is_api_campaign, c.tags]), [['c1', 'Welcome', false, []]])
  const details = await braze.campaigns.details({ campaign_id: 'c1' })
  assert.deepEqual([details.name, details.channels, details.draft], ['Welcome', ['email'], false])
  await refused(braze.campaigns.details({ campaign_id: 'none' }), 400, 'Invalid Campaign ID')
  const { canvases } = await until(() => braze.canvas.list(), a => a.canvases.length === 1)
  assert.deepEqual(canvases.map(c => [c.id, c.name]), [['j1', 'Journey']])

  await refused(new Braze(url, 'mr_nobody_0123456789abcdefghijklmnop').campaigns.list(), 401, 'Unauthorized')
}

main().catch(e => {
  console.error(e)
  process.exit(1)
})
