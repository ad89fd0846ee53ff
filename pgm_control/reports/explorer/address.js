/* The settings in the address of the page: each problem that is chosen is an entry in the browser's history. */
const Address = (() => {
  const PAUSE = 300; // ms without a change before the address is written
  let waiting = 0;

  const text = (now) => (now.name ? Link.write(now) : location.hash);

  /** Write the settings now, if they have changed. */
  function save(now) {
    if (waiting) history.replaceState(null, "", text(now));
    forget();
  }

  /** Write the settings after a pause. */
  function soon(now) {
    clearTimeout(waiting);
    waiting = setTimeout(() => save(now), PAUSE);
  }

  /** Do not write the changes so far. */
  function forget() {
    clearTimeout(waiting);
    waiting = 0;
  }

  /** Save, call `change`, and write what it changed as a new entry. */
  function enter(now, change) {
    save(now);
    change();
    forget();
    history.pushState(null, "", text(now));
  }

  return { save, soon, forget, enter };
})();
