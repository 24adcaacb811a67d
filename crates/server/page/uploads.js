// Images that the user gave. They are kept under a short name, which the address of the page can hold.

const LARGE_BYTES = 3e6;
const SIDE_PX = 1024;
const kept = new Map();

/** Keeps an image and returns its name. A large one is scaled down: the model sees less than that anyway. */
export async function keep(file) {
  const data = file.size > LARGE_BYTES ? await smaller(file) : await asDataUri(file);
  const bytes = new TextEncoder().encode(data);
  let hash = 0x811c9dc5;
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  const name = hash.toString(36);
  kept.set(name, data);
  try {
    sessionStorage.setItem(`gxn-image-${name}`, data);
  } catch {
    // The storage is full: the image lives until the page is loaded again.
  }
  return name;
}

/** The data URI of a kept image, or null where it is gone. */
export const dataOf = (name) => kept.get(name) ?? sessionStorage.getItem(`gxn-image-${name}`);

/** The image files among those that were dropped or pasted. */
export const imagesOf = (transfer) => [...(transfer?.files ?? [])].filter((file) => file.type.startsWith('image/'));

function asDataUri(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.addEventListener('load', () => resolve(reader.result));
    reader.addEventListener('error', () => reject(new Error(`${file.name} cannot be read`)));
    reader.readAsDataURL(file);
  });
}

async function smaller(file) {
  const bitmap = await createImageBitmap(file).catch(() => null);
  if (!bitmap) return asDataUri(file);
  const scale = Math.min(1, SIDE_PX / Math.max(bitmap.width, bitmap.height));
  const canvas = document.createElement('canvas');
  canvas.width = Math.max(1, Math.round(bitmap.width * scale));
  canvas.height = Math.max(1, Math.round(bitmap.height * scale));
  canvas.getContext('2d').drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  return canvas.toDataURL('image/jpeg', 0.9);
}
