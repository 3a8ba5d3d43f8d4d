"use strict";
{
  const { number, poll, cookie } = document.documentElement.dataset;
  const button = document.querySelector("button");
  const line = document.querySelector("[role=status]");
  const said = line.textContent;

  if (button) {
    button.addEventListener("click", () => {
      document.cookie = `${cookie}=${number}; path=/; samesite=strict`;
      location.reload();
    });
  }

  // The answer is the number of the failure that would be shown now. 502 and more is a proxy without a server behind it.
  const look = async () => {
    try {
      const answer = await fetch(location.href, { headers: { [poll]: number }, cache: "no-store" });
      if (answer.status < 502 && (await answer.text()) !== number) {
        location.reload();
        return;
      }
      line.textContent = said;
    } catch {
      line.textContent = "The server does not answer; this page goes on asking.";
    }
    setTimeout(look, 500);
  };
  setTimeout(look, 500);
}
