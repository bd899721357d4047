// Asks a worker with OpenAI's own package; prints one JSON object for what it got.
// usage: node images.cjs BASE_URL PICTURE.png MASK.png
const fs = require('node:fs');
globalThis.File ??= require('node:buffer').File; // which Node 18 keeps there
const OpenAI = require('openai');

const [baseURL, picture, mask] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey: 'none', maxRetries: 0 });
const prompt = 'a red circle left of a blue square';
const few = { seed: 7, num_inference_steps: 2 };

const types = async (stream) => {
  const seen = [];
  for await (const event of stream) seen.push({ type: event.type, size: event.size });
  return seen;
};

const error = async (promise) => {
  try {
    return await promise;
  } catch (caught) {
    return { name: caught.constructor.name, status: caught.status, param: caught.param, code: caught.code };
  }
};

const main = async () => {
  const upload = () => ({ image: fs.createReadStream(picture), prompt, ...few });
  const made = await client.images.generate({ prompt, n: 2, size: '128x128', ...few });
  const edited = await client.images.edit({ ...upload(), mask: fs.createReadStream(mask) });
  const several = await client.images.edit({ ...upload(), image: [fs.createReadStream(picture)] });
  console.log(
    JSON.stringify({
      made: made.data.map((one) => one.b64_json),
      edited: edited.data[0].b64_json,
      listed: several.data[0].b64_json,
      stream: await types(
        await client.images.generate({ prompt, stream: true, partial_images: 3, ...few, num_inference_steps: 4 }),
      ),
      editStream: await types(await client.images.edit({ ...upload(), stream: true })),
      badField: await error(client.images.generate({ prompt, n: 0 })),
      badModel: await error(client.images.generate({ prompt, model: 'dall-e-3' })),
      late: await error(
        client.images.generate({ prompt, num_inference_steps: 1000, deadline_s: 0.001 }, { maxRetries: 5 }),
      ),
    }),
  );
};

main();
