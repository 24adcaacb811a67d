// What this server is: asked once.
import { get } from './api.js';

let asked = null;

/** The index, the model (null if none is listed) and what the model can do. */
export function server() {
  asked ??= Promise.all([get('/v1/index'), get('/v1/models')]).then(([index, models]) => ({ index, model: models.data[0] ?? null }));
  asked.catch(() => { asked = null; });
  return asked;
}

export const can = (model, ability) => Boolean(model?.can?.includes(ability));
