// What this server is: asked once.
import { get } from './api.js';

let asked = null;

/** The index, the model (null if none is listed) and what the model can do. */
export function server() {
  asked ??= Promise.all([ready('/v1/index'), ready('/v1/models')]).then(([index, models]) => ({ index, model: models.data[0] ?? null }));
  asked.catch(() => { asked = null; });
  return asked;
}

/** A model that is being opened is asked for again. */
const ready = (path) => get(path).catch(async (error) => {
  if (error.status !== 503) throw error;
  await new Promise((resolve) => { setTimeout(resolve, 1000); });
  return ready(path);
});

export const can = (model, ability) => Boolean(model?.can?.includes(ability));
