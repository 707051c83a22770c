const CHOICES = [
  ['1', '1 hour'],
  ['6', '6 hours'],
  ['26', '26 hours'],
  ['168', '7 days'],
  ['720', '30 days'],
] as const;

/** How far back one looks. */
export function Hours({
  hours,
  set,
}: {
  readonly hours: string;
  readonly set: (hours: string) => void;
}) {
  return (
    <div className="actions" role="group" aria-label="How far back">
      {CHOICES.map(([value, name]) => (
        <button key={value} type="button" aria-pressed={value === hours} onClick={() => set(value)}>
          {name}
        </button>
      ))}
    </div>
  );
}
