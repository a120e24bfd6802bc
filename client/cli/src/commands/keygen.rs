//! `ordu operator gossip keyring generate`, and `ordu operator keygen`, its older name.

use super::DONE;
use crate::output::Screen;
use ordu_server::trust::Key;

pub(crate) fn execute() -> u8 {
    run(&mut Screen::terminal(true))
}

fn run(screen: &mut Screen) -> u8 {
    screen.line(Key::generate());
    DONE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_a_key_and_no_other_time_the_same() {
        let made = [(); 2].map(|()| {
            let mut screen = Screen::captured(true);
            assert_eq!(DONE, run(&mut screen));
            screen.text().trim_end().to_owned()
        });
        assert!(made.iter().all(|key| Key::parse(key).is_ok()) && made[0] != made[1], "{made:?}");
    }
}
