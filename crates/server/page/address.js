// The state of the page is its address: it can be shared, and the back button works.

const listeners = [];

export const params = () => new URLSearchParams(location.search);

/** `change` is called with the parameters, now and whenever they change. */
export function follow(change) {
  listeners.push(change);
  change(params());
}

/** Goes to an address; `replace` leaves no step for the back button. */
export function go(next, replace = false) {
  const text = next.toString();
  const address = text ? `/?${text}` : '/';
  if (address === location.pathname + location.search) return;
  if (replace) history.replaceState(history.state, '', address);
  else history.pushState({ ours: true }, '', address);
  tell();
}

/** The same address without some parameters. */
export function without(...names) {
  const next = params();
  for (const name of names) next.delete(name);
  return next;
}

function tell() {
  for (const change of listeners) change(params());
}

addEventListener('popstate', tell);

// Links within the page do not load it again.
document.addEventListener('click', (event) => {
  const link = event.target.closest?.('a[href^="/?"], a[href="/"]');
  if (!link || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey) return;
  event.preventDefault();
  go(new URL(link.href).searchParams);
});
